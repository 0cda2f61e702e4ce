package planted

import (
	"context"
	"fmt"
	"math/rand/v2"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/sae"
)

// prefix is what the first latents of a Matryoshka SAE do alone.
type prefix struct {
	Width     int            `json:"width"`
	FVU       float64        `json:"fvu"`
	Random    stats.Interval `json:"random"`    // FVU of as many random latents of the same SAE
	Recovered float64        `json:"recovered"` // share of the features
}

// prefixes measures the prefixes of the widest Matryoshka SAE: they are ordered when each leaves less error than the one before,
// and less than as many random latents do.
func (x *experiment) prefixes(ctx context.Context) error {
	if x.cfg.Prefixes.Of == "" {
		return nil
	}
	width := x.cfg.Widths[len(x.cfg.Widths)-1]
	found, err := study.Step(x.Session, "prefixes", func() ([]prefix, error) {
		a, err := x.cfg.called(x.cfg.Prefixes.Of)
		if err != nil {
			return nil, err
		}
		cfg, err := x.cfg.settings(a, width, 0)
		if err != nil {
			return nil, err
		}
		s, err := sae.Load(x.Dir().File(folder(a.name(), width, 0)))
		if err != nil {
			return nil, err
		}
		return x.cutAll(ctx, s, cfg.Matryoshka.Widths)
	})
	if err != nil {
		return err
	}
	t := report.Table{
		Caption: fmt.Sprintf("Prefixes of %s of width %d alone, and %d random sets of as many of its latents", x.cfg.Prefixes.Of, width, x.cfg.Prefixes.Draws),
		Columns: []report.Column{{Name: "latents"}, {Name: "FVU"}, {Name: "FVU, random latents"}, {Name: "recovered"}},
	}
	ordered := 1.0
	for i, p := range found {
		var random any
		if p.Width < width {
			random = lab.Cell(p.Random)
			if p.FVU >= p.Random.Low {
				ordered = 0
			}
		}
		if i > 0 && p.FVU >= found[i-1].FVU {
			ordered = 0
		}
		t.Rows = append(t.Rows, []any{p.Width, p.FVU, random, p.Recovered})
	}
	x.Table("prefixes", t)
	x.Value("prefix.ordered", ordered)
	return nil
}

// cutAll measures the prefixes of the given widths.
func (x *experiment) cutAll(ctx context.Context, s *sae.SAE, widths []int) ([]prefix, error) {
	held, err := x.cfg.heldOut()
	if err != nil {
		return nil, err
	}
	d := x.cfg.Data.Dim
	rows := make([]float32, int(x.cfg.EvalRows)*d)
	if _, err := held.Next(rows); err != nil {
		return nil, err
	}
	lat, err := s.Encode(rows)
	if err != nil {
		return nil, err
	}
	var out []prefix
	for _, width := range widths {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("planted: prefixes: %w", err)
		}
		keep := make([]bool, s.DSAE)
		for i := range width {
			keep[i] = true
		}
		p := prefix{Width: width, FVU: keptError(s, rows, lat, keep)}
		first := *s
		first.WDec = s.WDec[:width*d]
		p.Recovered = held.Recovered(&first, x.cfg.Cosine)
		if width < s.DSAE {
			rng := rand.New(rand.NewPCG(uint64(x.cfg.Base.Seed), uint64(width)))
			var draws []float64
			for range x.cfg.Prefixes.Draws {
				clear(keep)
				for _, i := range rng.Perm(s.DSAE)[:width] {
					keep[i] = true
				}
				draws = append(draws, keptError(s, rows, lat, keep))
			}
			if p.Random, err = lab.MeanOver(ctx, draws, lab.UpTo(len(draws)), x.cfg.Base.Seed); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// keptError is the share of the variance of rows that the kept latents leave.
func keptError(s *sae.SAE, rows []float32, lat sae.Latents, keep []bool) float64 {
	d, n := s.DIn, lat.Rows()
	mean := make([]float64, d)
	for i, v := range rows {
		mean[i%d] += float64(v) / float64(n)
	}
	var sse, variance float64
	e := make([]float64, d)
	for r := range n {
		for j := range e {
			v := float64(rows[r*d+j])
			e[j] = v - float64(s.BDec[j])
			variance += (v - mean[j]) * (v - mean[j])
		}
		index, value := lat.Row(r)
		for k, i := range index {
			if !keep[i] {
				continue
			}
			for j, w := range s.Decoder(int(i)) {
				e[j] -= float64(value[k]) * float64(w)
			}
		}
		for _, v := range e {
			sse += v * v
		}
	}
	return sse / variance
}
