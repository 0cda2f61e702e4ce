package gemm

import "golang.org/x/sys/cpu"

var haveTall = cpu.X86.HasAVX512F

// tall is kernelTall with sixteen accumulators of eight values; it needs a term.
//
//go:noescape
func tall(c *float64, stride int, a *float64, row, step int, b *float64, next, terms int)
