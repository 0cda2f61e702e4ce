package adapter

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// LatentAnchors draws n inputs at which an adapter should change nothing, from a concept's input c [T, d] (SPM's latent anchoring,
// Lyu et al., arXiv:2312.16145, section 3.2): a = u |c| z/|z| with z Gaussian over all of [T, d], accepted with probability
// 1 - cos(c, z), and u uniform from 0.8 to 1.2. So the nearer a place is to the concept the less often it is held.
func LatentAnchors(c *mat.Dense, n int, rng *rand.Rand) ([]*mat.Dense, error) {
	rows, d := c.Dims()
	x := mat.DenseCopyOf(c).RawMatrix().Data
	norm := floats.Norm(x, 2)
	if !(norm > 0) || math.IsInf(norm, 0) {
		return nil, fmt.Errorf("adapter: a concept's input of norm %v has no neighbourhood", norm)
	}
	if n < 1 {
		return nil, errors.New("adapter: no anchors are asked for; use 1 or more")
	}
	var out []*mat.Dense
	for len(out) < n {
		z := make([]float64, rows*d)
		for i := range z {
			z[i] = rng.NormFloat64()
		}
		length := floats.Norm(z, 2)
		if length == 0 || rng.Float64() >= 1-floats.Dot(x, z)/norm/length {
			continue
		}
		floats.Scale((0.8+0.4*rng.Float64())*norm/length, z)
		out = append(out, mat.NewDense(rows, d, z))
	}
	return out, nil
}

// Align gives each of a text's tokens a row of a twin's states [n, d], of another sentence with one name in place of another. Tokens
// that both begin or end with are paired; those between get the mean of the twin's tokens between, or of all where it has none.
func Align(ids, twin []int32, states *mat.Dense) (*mat.Dense, error) {
	n, d := states.Dims()
	if len(twin) != n || len(ids) == 0 {
		return nil, fmt.Errorf("adapter: states of %d tokens for a twin of %d and a text of %d", n, len(twin), len(ids))
	}
	short := min(len(ids), len(twin))
	front, back := 0, 0
	for front < short && ids[front] == twin[front] {
		front++
	}
	for back < short-front && ids[len(ids)-1-back] == twin[len(twin)-1-back] {
		back++
	}
	from, to := front, len(twin)-back
	if from == to {
		from, to = 0, len(twin)
	}
	middle := make([]float64, d)
	for i := from; i < to; i++ {
		floats.AddScaled(middle, 1/float64(to-from), states.RawRowView(i))
	}
	out := mat.NewDense(len(ids), d, nil)
	for i := range ids {
		switch {
		case i < front:
			out.SetRow(i, states.RawRowView(i))
		case i >= len(ids)-back:
			out.SetRow(i, states.RawRowView(i-len(ids)+len(twin)))
		case len(ids) == len(twin):
			out.SetRow(i, states.RawRowView(i))
		default:
			out.SetRow(i, middle)
		}
	}
	return out, nil
}
