package sae

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"loupe/internal/adam"
	"loupe/internal/stats"
)

// interchange is one test: source's latents go into base, and attribute must then read want.
type interchange struct{ base, source, attribute, want int }

// pairs draws interchanges for attribute a: in turn one for cause and one for isolation of each other attribute.
func (r RavelData) pairs(known []int, a, n int, rng *rand.Rand) ([]interchange, error) {
	var out []interchange
	for try := 0; len(out) < n; try++ {
		if try > 200*n {
			return nil, fmt.Errorf("sae: ravel: attribute %d: the %d rows that are read rightly hardly differ in it: %w", a, len(known), stats.ErrDegenerate)
		}
		p := interchange{base: known[rng.IntN(len(known))], source: known[rng.IntN(len(known))], attribute: a}
		if len(out)%2 == 1 { // isolation of a random other attribute
			p.attribute = (a + 1 + rng.IntN(len(r.Value)-1)) % len(r.Value)
		}
		v := r.Value[p.attribute]
		if v[p.base] == v[p.source] {
			continue
		}
		p.want = v[p.source]
		if p.attribute != a {
			p.want = v[p.base]
		}
		out = append(out, p)
	}
	return out, nil
}

// difference calls visit with every latent in which source and base differ.
func (r RavelData) difference(p interchange, visit func(latent int32, by float64)) {
	bi, bv := r.Latents.Row(p.base)
	si, sv := r.Latents.Row(p.source)
	for b, s := 0, 0; b < len(bi) || s < len(si); {
		switch {
		case s == len(si) || b < len(bi) && bi[b] < si[s]:
			visit(bi[b], -bv[b])
			b++
		case b == len(bi) || si[s] < bi[b]:
			visit(si[s], sv[s])
			s++
		default:
			visit(bi[b], sv[s]-bv[b])
			b, s = b+1, s+1
		}
	}
}

// apply returns the base activations of the pairs after the interchange, [n, d].
func (r RavelData) apply(pairs []interchange, mask []float64) []float32 {
	d := r.width()
	out := make([]float32, 0, len(pairs)*d)
	for _, p := range pairs {
		row := append([]float32{}, r.X[p.base*d:(p.base+1)*d]...)
		r.difference(p, func(l int32, by float64) {
			if m := mask[l]; m != 0 {
				axpy(float32(m*by), r.Decoder[int(l)*d:(int(l)+1)*d], row)
			}
		})
		out = append(out, row...)
	}
	return out
}

// byAttribute groups pairs by the attribute that is read.
func byAttribute(pairs []interchange, attributes int) [][]interchange {
	out := make([][]interchange, attributes)
	for _, p := range pairs {
		out[p.attribute] = append(out[p.attribute], p)
	}
	return out
}

func bases(pairs []interchange) []int {
	out := make([]int, len(pairs))
	for i, p := range pairs {
		out[i] = p.base
	}
	return out
}

func wants(pairs []interchange) []int {
	out := make([]int, len(pairs))
	for i, p := range pairs {
		out[i] = p.want
	}
	return out
}

// learn returns a mask of zeros and ones.
func (r RavelData) learn(ctx context.Context, reader AttributeReader, pairs []interchange, rng *rand.Rand, cfg RavelConfig) ([]float64, error) {
	f, d := r.Latents.Cols, r.width()
	logit, mask, grad := make([]float64, f), make([]float64, f), make([]float64, f)
	solver := adam.NewSolver(cfg.LR, f)
	steps := cfg.Epochs * ((len(pairs) + cfg.Batch - 1) / cfg.Batch)
	step := 0
	for range cfg.Epochs {
		rng.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
		for lo := 0; lo < len(pairs); lo += cfg.Batch {
			temperature := cfg.Start * math.Pow(cfg.End/cfg.Start, float64(step)/float64(max(steps-1, 1)))
			for i, l := range logit {
				mask[i] = 1 / (1 + math.Exp(-l/temperature))
			}
			clear(grad)
			for a, part := range byAttribute(pairs[lo:min(lo+cfg.Batch, len(pairs))], len(r.Value)) {
				if len(part) == 0 {
					continue
				}
				_, g, err := reader.Read(ctx, r.apply(part, mask), bases(part), a, wants(part))
				if err != nil {
					return nil, err
				}
				for n, p := range part {
					r.difference(p, func(l int32, by float64) {
						grad[l] += by * float64(dot(r.Decoder[int(l)*d:(int(l)+1)*d], g[n*d:(n+1)*d]))
					})
				}
			}
			step++
			for i, m := range mask {
				grad[i] *= m * (1 - m) / temperature
			}
			solver.Step(logit, grad)
		}
	}
	for i, l := range logit {
		mask[i] = 0
		if l > 0 {
			mask[i] = 1
		}
	}
	return mask, nil
}

// judge counts right readings under a mask of zeros and ones.
func (r RavelData) judge(ctx context.Context, reader AttributeReader, pairs []interchange, mask []float64, attribute int, level float64) (RavelScore, error) {
	s := RavelScore{Attribute: attribute}
	for i, m := range mask {
		if m != 0 {
			s.Latents = append(s.Latents, int32(i))
		}
	}
	var right, total [2]int // cause, isolation
	for a, part := range byAttribute(pairs, len(r.Value)) {
		if len(part) == 0 {
			continue
		}
		read, _, err := reader.Read(ctx, r.apply(part, mask), bases(part), a, wants(part))
		if err != nil {
			return s, err
		}
		kind := 0
		if a != attribute {
			kind = 1
		}
		for i, p := range part {
			total[kind]++
			if read[i] == p.want {
				right[kind]++
			}
		}
	}
	var err error
	if s.Cause, err = stats.Wilson(right[0], total[0], level); err != nil {
		return s, err
	}
	if s.Isolation, err = stats.Wilson(right[1], total[1], level); err != nil {
		return s, err
	}
	s.Disentangle = (s.Cause.Value + s.Isolation.Value) / 2
	return s, nil
}
