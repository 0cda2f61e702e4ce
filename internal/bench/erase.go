package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
)

const (
	eraseScript = "uce.py"
	eraseWidth  = 768
)

// Erase times UCE's closed form for the 32 cross-attention matrices of Stable Diffusion 1.4, beside uce.py: "loupe-emap" fits
// the one map of embeddings that stands for all of them, "loupe-kv" fits it and edits them; "loupe-rece" and "loupe-rece-kv" do
// so by three rounds of RECE from the matrices' Gram matrix, which is given.
func Erase() Kind {
	return Kind{
		Name: "erase", Bench: "uce", Run: runErase,
		Cases: func(Options) (out []Case) {
			for _, size := range [][2]int{{1, 0}, {10, 0}, {100, 0}, {100, 1000}} {
				for _, peer := range []string{"loupe-emap", "loupe-kv"} {
					out = append(out, Case{peer, []Field{{"erase", size[0]}, {"preserve", size[1]}}})
				}
			}
			for _, peer := range []string{"loupe-rece", "loupe-rece-kv"} {
				out = append(out, Case{peer, []Field{{"erase", 100}, {"preserve", 1000}}})
			}
			return out
		},
		Peers: func(c Case) []Peer {
			if strings.HasPrefix(c.Peer, "loupe-rece") {
				return nil
			}
			return []Peer{{"upstream-torch", eraseScript}, {"numpy", eraseScript}, {"torch", eraseScript}}
		},
	}
}

// crossAttention are standard normal matrices over 28, as the peer's: to_k and to_v of 16 blocks.
func crossAttention(r *rand.Rand) (w [][]float32) {
	for _, block := range []struct{ count, outputs int }{{5, 320}, {5, 640}, {6, 1280}} {
		for range 2 * block.count {
			m := make([]float32, block.outputs*eraseWidth)
			for i := range m {
				m[i] = float32(r.NormFloat64() / 28)
			}
			w = append(w, m)
		}
	}
	return w
}

func runErase(ctx context.Context, o Options, c Case) ([]Field, error) {
	erased, err := strconv.Atoi(c.Get("erase"))
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	preserved, err := strconv.Atoi(c.Get("preserve"))
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r := rand.New(rand.NewPCG(0, 0))
	w := crossAttention(r)
	rows := func(n int) *mat.Dense {
		if n == 0 {
			return nil
		}
		x := mat.NewDense(n, eraseWidth, nil)
		for i := range x.RawMatrix().Data {
			x.RawMatrix().Data[i] = float64(float32(r.NormFloat64()))
		}
		return x
	}
	request := erase.Request{Concepts: rows(erased), Anchors: rows(erased), Preserve: rows(preserved)}
	after := make([][]float32, len(w))
	for i := range w {
		after[i] = make([]float32, len(w[i]))
	}
	apply := func(m *erase.Map) error {
		for i := range w {
			if err := m.WeightsFloat32(after[i], w[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if strings.HasPrefix(c.Peer, "loupe-rece") {
		if c.Peer == "loupe-rece" {
			apply = func(*erase.Map) error { return nil }
		}
		return runRECE(ctx, o, request, w, apply)
	}
	var edit *erase.Edit
	took, err := repeat(ctx, o, func() error {
		if edit, err = erase.UCE(request, erase.DefaultUCE()); err != nil || c.Peer == "loupe-emap" {
			return err
		}
		return apply(edit.Map)
	})
	if err != nil {
		return nil, err
	}
	if err := apply(edit.Map); err != nil {
		return nil, err
	}
	worst := 0.0
	for _, i := range []int{0, len(w) - 1} {
		off, err := kvError(request, w[i], after[i])
		if err != nil {
			return nil, err
		}
		worst = max(worst, off)
	}
	return append(secondsFields(took), Field{"max_rel_err_vs_float64", worst}), nil
}

// runRECE times three rounds of RECE and what apply makes of its map.
func runRECE(ctx context.Context, o Options, r erase.Request, w [][]float32, apply func(*erase.Map) error) ([]Field, error) {
	wide := make([]*mat.Dense, len(w))
	for i, m := range w {
		wide[i] = mat.NewDense(len(m)/eraseWidth, eraseWidth, nil)
		for j, v := range m {
			wide[i].RawMatrix().Data[j] = float64(v)
		}
	}
	gram, err := erase.Gram(wide...)
	if err != nil {
		return nil, err
	}
	var edit *erase.RECEEdit
	took, err := repeat(ctx, o, func() error {
		if edit, err = erase.RECE(ctx, r, gram, erase.DefaultRECE()); err != nil {
			return err
		}
		return apply(edit.Map)
	})
	if err != nil {
		return nil, err
	}
	return append(secondsFields(took), Field{"recovery", edit.Recovery}), nil
}

// kvError is the largest error of an edited matrix against the published form in float64, over its largest value.
func kvError(r erase.Request, w, after []float32) (float64, error) {
	wide := mat.NewDense(len(w)/eraseWidth, eraseWidth, nil)
	for i, v := range w {
		wide.RawMatrix().Data[i] = float64(v)
	}
	cfg := erase.DefaultUCE()
	left, right := mat.NewDense(eraseWidth, eraseWidth, nil), mat.NewDense(eraseWidth, eraseWidth, nil)
	add := func(to, x, y *mat.Dense) {
		var product mat.Dense
		product.Mul(x.T(), y)
		to.Add(to, &product)
	}
	for i := range eraseWidth {
		left.Set(i, i, cfg.Lambda)
		right.Set(i, i, cfg.Lambda)
	}
	add(left, r.Anchors, r.Concepts)
	add(right, r.Concepts, r.Concepts)
	if r.Preserve != nil {
		add(left, r.Preserve, r.Preserve)
		add(right, r.Preserve, r.Preserve)
	}
	var e, want mat.Dense
	if err := e.Solve(right, left.T()); err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	want.Mul(wide, e.T())
	gap, largest := 0.0, 0.0
	for i, v := range want.RawMatrix().Data {
		gap, largest = max(gap, math.Abs(float64(after[i])-v)), max(largest, math.Abs(v))
	}
	return gap / largest, nil
}
