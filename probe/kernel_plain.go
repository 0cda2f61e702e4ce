//go:build !amd64 || !goexperiment.simd

package probe

func scores(z, x, w []float32, rows, cols, d int) { scoresPlain(z, x, w, rows, cols, d) }

func gather(g, z, x []float32, rows, cols, d int) { gatherPlain(g, z, x, rows, cols, d) }
