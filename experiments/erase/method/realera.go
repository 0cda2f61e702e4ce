package method

import (
	"context"
	"fmt"
	"math"

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

func fitRealEra(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
	c := conf.(*RealEraConfig)
	p, err := prior(ctx, e, t)
	if err != nil {
		return nil, err
	}
	var total *erase.Map
	for i, target := range t.Erase {
		// a name without synonyms has its fitting prompts for what still is the concept
		alike := target.Synonyms
		if len(alike) == 0 {
			alike = target.Fit
		}
		x, err := e.Embed(ctx, nil, append([]string{target.Name, target.Anchor}, alike...))
		if err != nil {
			return nil, err
		}
		n, d := x.Dims()
		own := mat.NewDense(n-2, d, nil)
		for j := range n - 2 {
			own.SetRow(j, x.RawRowView(0))
		}
		h, err := erase.CalibrateNeighbourhood(own, x.Slice(2, n, 0, d).(*mat.Dense), c.Share)
		if err != nil {
			return nil, fmt.Errorf("method: realera, %s: %w", target.Name, err)
		}
		noise, err := erase.SampleNoise(c.Noise, d, 0, 2*h.Distance/math.Sqrt(float64(d)), uint64(t.Seed)+uint64(i))
		if err != nil {
			return nil, err
		}
		mined, err := erase.Mine(x.RawRowView(0), noise, h)
		if err != nil {
			return nil, err
		}
		edit, err := erase.RealEra(mined, x.RawRowView(1), p, c.RealEraConfig)
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
