//go:build !amd64

package matmul

const haveVector = false

const missing = "matmul: no vector form on this processor"

func tile(_, _, _ *float32, _ int) { panic(missing) }

func addRows384(_, _ *float32, _ int, _ *int32, _ *float32, _ int) { panic(missing) }

func addRows64(_, _ *float32, _ int, _ *int32, _ *float32, _ int) { panic(missing) }

func packFour(_, _ *float32, _, _, _ int) { panic(missing) }
