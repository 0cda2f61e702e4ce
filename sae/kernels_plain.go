//go:build !(amd64 && goexperiment.simd)

package sae

import "math"

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

func axpy(a float32, x, y []float32) { axpyPlain(a, x, y) }

func dot(x, y []float32) float32 { return dotPlain(x, y) }

func finishTile(t *tile, c tileColumns, limits []float32, magnitude bool) bool {
	return finishTilePlain(t, c, limits, magnitude)
}
