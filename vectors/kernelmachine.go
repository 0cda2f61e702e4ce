package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
)

// Kernel is the similarity of two activations through which a region is drawn.
type Kernel struct {
	Kind  string  `json:"kind" yaml:"kind" enum:"linear,rbf" doc:"linear: x.y; rbf: exp(-gamma |x-y|²)"`
	Gamma float64 `json:"gamma" yaml:"gamma" doc:"of rbf; 0 stands for 1 / (width x variance of the activations), as in scikit-learn"`
}

// The kernels.
const (
	KernelLinear = "linear"
	KernelRBF    = "rbf"
)

func (k Kernel) validate() error {
	if k.Kind != KernelLinear && k.Kind != KernelRBF {
		return fmt.Errorf("vectors: kernel %q: %w; it is %q or %q", k.Kind, ErrArgument, KernelLinear, KernelRBF)
	}
	if !(k.Gamma >= 0) || math.IsInf(k.Gamma, 0) {
		return fmt.Errorf("vectors: kernel gamma is %v: %w; it is 0 (by the data) or more", k.Gamma, ErrArgument)
	}
	return nil
}

// fitted fills in Gamma from the rows of x.
func (k Kernel) fitted(x *mat.Dense) (Kernel, error) {
	if k.Kind == KernelRBF && k.Gamma == 0 {
		n, d := x.Dims()
		all := mat.DenseCopyOf(x).RawMatrix().Data
		mean, square := floats.Sum(all)/float64(n*d), 0.0
		for _, v := range all {
			square += (v - mean) * (v - mean)
		}
		if square == 0 {
			return k, fmt.Errorf("vectors: kernel: all activations are equal: %w", ErrSingular)
		}
		k.Gamma = float64(n) / square // 1 / (d * square / (n d))
	}
	return k, nil
}

// matrix is the kernel of the rows of a [n, d] with those of b [m, d].
func (k Kernel) matrix(a, b *mat.Dense) *mat.Dense {
	n, _ := a.Dims()
	m, _ := b.Dims()
	out := mat.NewDense(n, m, nil)
	gemm.AddMulTrans(out.RawMatrix(), a.RawMatrix(), b.RawMatrix())
	if k.Kind == KernelLinear {
		return out
	}
	squares := make([]float64, m)
	for j := range m {
		squares[j] = floats.Dot(b.RawRowView(j), b.RawRowView(j))
	}
	for i := range n {
		row, square := out.RawRowView(i), floats.Dot(a.RawRowView(i), a.RawRowView(i))
		for j, v := range row {
			row[j] = math.Exp(-k.Gamma * max(0, square+squares[j]-2*v))
		}
	}
	return out
}

// kernelMachine is f(x) = sum_i weights_i k(x_i, x) + bias.
type kernelMachine struct {
	weights []float64
	bias    float64
}

// fitKernel is the exact minimum of 0.5 |f|² + C sum_i max(0, 1 - s_i f(x_i))² over functions f of the kernel plus a free
// constant, for the kernel matrix of the rows and s_i = +-1: Newton's method on the rows inside the margin (Chapelle, Neural
// Computation 19, 2007), each step one Cholesky factorisation. With a linear kernel it is SquaredHinge.
func fitKernel(ctx context.Context, kernel *mat.Dense, sign []float64, c float64) (kernelMachine, error) {
	n := len(sign)
	f := make([]float64, n) // at the rows
	m := kernelMachine{make([]float64, n), 0}
	active := make([]bool, n)
	for i := range active {
		active[i] = true
	}
	value := kernelObjective(m, f, sign, c)
	for range 200 {
		if err := ctx.Err(); err != nil {
			return m, fmt.Errorf("vectors: kernel machine: %w", err)
		}
		target, err := kernelStep(kernel, sign, active, c)
		if err != nil {
			return m, err
		}
		at := make([]float64, n)
		product := mat.NewVecDense(n, at)
		product.MulVec(kernel, mat.NewVecDense(n, target.weights))
		floats.AddConst(target.bias, at)
		moved := false
		for t := 1.0; t > 1e-10; t /= 2 {
			next := kernelMachine{between(m.weights, target.weights, t), m.bias + t*(target.bias-m.bias)}
			nextF := between(f, at, t)
			if v := kernelObjective(next, nextF, sign, c); v < value || t == 1 && v <= value+64*epsilon*(1+value) {
				same := t == 1
				for i, s := range sign {
					inside := s*nextF[i] < 1
					same = same && inside == active[i]
					active[i] = inside
				}
				m, f, value, moved = next, nextF, v, true
				if same {
					return m, nil
				}
				break
			}
		}
		if !moved {
			return m, nil // no step lowers the objective: rounding at the optimum
		}
	}
	return m, fmt.Errorf("vectors: kernel machine: 200 Newton steps: %w; use a smaller C", ErrNotConverged)
}

// kernelObjective is 0.5 |f|² + C sum of squared hinges; |f|² = weights' K weights = weights . (f - bias).
func kernelObjective(m kernelMachine, f, sign []float64, c float64) float64 {
	value := 0.0
	for i, s := range sign {
		gap := max(0, 1-s*f[i])
		value += 0.5*m.weights[i]*(f[i]-m.bias) + c*gap*gap
	}
	return value
}

// kernelStep solves (K + I/2C) w + b 1 = s, 1.w = 0 on the active rows; the other weights are 0.
func kernelStep(kernel *mat.Dense, sign []float64, active []bool, c float64) (kernelMachine, error) {
	rows := make([]int, 0, len(sign))
	for i, on := range active {
		if on {
			rows = append(rows, i)
		}
	}
	out := kernelMachine{make([]float64, len(sign)), 0}
	k := len(rows)
	if k == 0 {
		return out, nil
	}
	a := mat.NewSymDense(k, nil)
	ones, s := mat.NewVecDense(k, nil), mat.NewVecDense(k, nil)
	for i, r := range rows {
		for j := i; j < k; j++ {
			a.SetSym(i, j, kernel.At(r, rows[j]))
		}
		a.SetSym(i, i, a.At(i, i)+1/(2*c))
		ones.SetVec(i, 1)
		s.SetVec(i, sign[r])
	}
	var chol mat.Cholesky
	if !chol.Factorize(a) {
		return out, fmt.Errorf("vectors: kernel of %d rows: %w; use a smaller C", k, ErrSingular)
	}
	var w, u mat.VecDense
	_ = chol.SolveVecTo(&w, s) // errors are condition numbers; the objective judges the step
	_ = chol.SolveVecTo(&u, ones)
	out.bias = mat.Dot(ones, &w) / mat.Dot(ones, &u)
	for i, r := range rows {
		out.weights[r] = w.AtVec(i) - out.bias*u.AtVec(i)
	}
	return out, nil
}

// between is a + t (b - a).
func between(a, b []float64, t float64) []float64 {
	out := make([]float64, len(a))
	for i := range out {
		out[i] = a[i] + t*(b[i]-a[i])
	}
	return out
}

// scores are f at rows of which kernel [m, n] holds the similarities with the fitted ones.
func (m kernelMachine) scores(kernel *mat.Dense) []float64 {
	n, _ := kernel.Dims()
	out := make([]float64, n)
	for i := range out {
		out[i] = floats.Dot(kernel.RawRowView(i), m.weights) + m.bias
	}
	return out
}
