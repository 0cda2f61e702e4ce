package method

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// RealEraConfig are the settings of realera.
type RealEraConfig struct {
	erase.RealEraConfig
	Noise int     `json:"noise" doc:"candidates that are drawn around a concept"`
	Share float64 `json:"share" doc:"share of the synonyms that lie inside the neighbourhood"`
}

func realEra() Method {
	return Method{
		Name: "realera", Title: "RealEra, the closed form", Paper: "arXiv:2410.09140", Acts: ActsEmbeddings, Check: "golden (TestGoldenErasure); neighbourhood calibrated on synonyms, for the paper's is not published",
		Config: func() any {
			return &RealEraConfig{RealEraConfig: erase.DefaultRealEra(), Noise: 256, Share: 0.9}
		},
		Fit: fitRealEra,
	}
}

// fitRealEra mines around each fitting prompt of a concept and maps what is near to the mean of the anchor's prompts. The neighbourhood is
// that of the synonyms in the same templates, or of the prompts among themselves where there are none.
func fitRealEra(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
	c := conf.(*RealEraConfig)
	p, err := prior(ctx, e, t)
	if err != nil {
		return nil, err
	}
	var total *erase.Map
	for i, target := range t.Erase {
		mined, anchor, err := mineAround(ctx, e, target, c, uint64(t.Seed)+uint64(i)*1000)
		if err != nil {
			return nil, fmt.Errorf("method: realera, %s: %w", target.Name, err)
		}
		edit, err := erase.RealEra(mined, anchor, p, c.RealEraConfig)
		if err != nil {
			return nil, fmt.Errorf("method: realera, %s: %w", target.Name, err)
		}
		if total == nil {
			total = edit.Map
		} else if total, err = total.Then(edit.Map); err != nil {
			return nil, err
		}
	}
	return &encoder.Variant{Name: "realera", Hook: encoder.Linear{Map: total}, Layer: e.Layers(), Notes: map[string]any{}}, nil
}

func mineAround(ctx context.Context, e *encoder.Encoder, target Target, c *RealEraConfig, seed uint64) (*erase.Mined, []float64, error) {
	var from, alike []string
	for _, s := range target.SynonymFit {
		from, alike = append(from, target.Fit...), append(alike, s...)
	}
	if len(alike) == 0 {
		for i := range target.Fit {
			from, alike = append(from, target.Fit[i]), append(alike, target.Fit[(i+1)%len(target.Fit)])
		}
	}
	own, err := e.Embed(ctx, nil, from)
	if err != nil {
		return nil, nil, err
	}
	other, err := e.Embed(ctx, nil, alike)
	if err != nil {
		return nil, nil, err
	}
	h, err := erase.CalibrateNeighbourhood(own, other, c.Share)
	if err != nil {
		return nil, nil, err
	}
	prompts, err := e.Embed(ctx, nil, append(slices.Clone(target.Fit), target.AnchorFit...))
	if err != nil {
		return nil, nil, err
	}
	n, d := len(target.Fit), e.Width()
	all, each := new(erase.Mined), max(c.Noise/n, 1)
	var rows []float64
	for i := range n {
		noise, err := erase.SampleNoise(each, d, 0, 2*h.Distance/math.Sqrt(float64(d)), seed+uint64(i))
		if err != nil {
			return nil, nil, err
		}
		m, err := erase.Mine(prompts.RawRowView(i), noise, h)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, m.Candidates.RawMatrix().Data...)
		all.Distance, all.Cosine = append(all.Distance, m.Distance...), append(all.Cosine, m.Cosine...)
		all.Near, all.Beyond = append(all.Near, m.Near...), append(all.Beyond, m.Beyond...)
	}
	all.Candidates = mat.NewDense(len(rows)/d, d, rows)
	anchor := make([]float64, d)
	for i := range n {
		floats.AddScaled(anchor, 1/float64(n), prompts.RawRowView(n+i))
	}
	return all, anchor, nil
}
