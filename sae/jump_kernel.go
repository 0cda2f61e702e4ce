package sae

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// The kernels that can stand for the derivative of JumpReLU's step, as functions of x = h - theta at bandwidth bw, with
// u = 2 x / bw (KempnerInstitute/overcomplete's definitions; gaussian integrates to 1/2 there, silverman to 2, and
// cosine is not divided by the bandwidth).
const (
	KernelRectangle    = "rectangle"    // 1/bw for |u| < 1
	KernelGaussian     = "gaussian"     // exp(-u^2/2) / (bw sqrt(2 pi))
	KernelTriangular   = "triangular"   // max(1-|u|, 0) 2/bw
	KernelCosine       = "cosine"       // (1 + cos(pi x/bw)) / 2 for |x| < bw
	KernelEpanechnikov = "epanechnikov" // 3/4 (1-u^2) 2/bw for |u| < 1
	KernelQuartic      = "quartic"      // 15/16 (1-u^2)^2 2/bw for |u| < 1
	KernelSilverman    = "silverman"    // exp(-|u|/sqrt 2) sin(|u|/sqrt 2 + pi/4) 2/bw
	KernelCauchy       = "cauchy"       // 2/bw / (pi (1+u^2))
)

// jumpKernels are the names of the kernels.
var jumpKernels = [...]string{
	KernelRectangle, KernelGaussian, KernelTriangular, KernelCosine,
	KernelEpanechnikov, KernelQuartic, KernelSilverman, KernelCauchy,
}

// jumpKernelGraph is the kernel called name at x, of any shape.
func jumpKernelGraph(name string, x *Node, bw float64) *Node {
	u := MulScalar(x, 2/bw)
	one := OnesLike(u)
	inside := ConvertDType(LessThan(Abs(u), one), u.DType())
	bump := Mul(inside, Sub(one, Square(u))) // 1 - u^2 within the support
	switch name {
	case KernelGaussian:
		return MulScalar(Exp(MulScalar(Square(u), -0.5)), 1/(bw*math.Sqrt(2*math.Pi)))
	case KernelTriangular:
		return MulScalar(MaxScalar(Sub(one, Abs(u)), 0), 2/bw)
	case KernelCosine:
		near := ConvertDType(LessThan(Abs(u), MulScalar(one, 2)), u.DType())
		return Mul(near, MulScalar(Add(one, Cos(MulScalar(x, math.Pi/bw))), 0.5))
	case KernelEpanechnikov:
		return MulScalar(bump, 0.75*2/bw)
	case KernelQuartic:
		return MulScalar(Square(bump), 15.0/16*2/bw)
	case KernelSilverman:
		a := MulScalar(Abs(u), 1/math.Sqrt2)
		return MulScalar(Mul(Exp(Neg(a)), Sin(AddScalar(a, math.Pi/4))), 2/bw)
	case KernelCauchy:
		return MulScalar(Inverse(Add(one, Square(u))), 2/(bw*math.Pi))
	}
	return MulScalar(inside, 1/bw)
}
