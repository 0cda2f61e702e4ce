package matmul

import "golang.org/x/sys/cpu"

var haveVector = cpu.X86.HasAVX512F

// tile is the vector form of Tile.
//
//go:noescape
func tile(out, x, w *float32, d int)

// addRows384 adds sum_j coef[j] x[rows[j]] to y, 384 values; x is the first value of a matrix whose rows are stride bytes
// apart.
//
//go:noescape
func addRows384(y, x *float32, stride int, rows *int32, coef *float32, count int)

// addRows64 is addRows384 for 64 values.
//
//go:noescape
func addRows64(y, x *float32, stride int, rows *int32, coef *float32, count int)

// packFour writes four rows of src, row bytes apart, into the columns of dst, panel bytes apart: 8 values of each row for
// every block.
//
//go:noescape
func packFour(dst, src *float32, panel, row, blocks int)
