//go:build !amd64

package gemm

const haveTall = false

func tall(_ *float64, _ int, _ *float64, _, _ int, _ *float64, _, _ int) {
	panic("gemm: no vector form on this processor")
}
