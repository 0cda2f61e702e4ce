package demo

import (
	"context"

	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/sae"
)

// Conditions of the splice, in the order of the table.
const (
	Trained   = "SAE"
	Untrained = "untrained SAE"
	MeanOnly  = "mean ablation"
)

// SpliceRow is how a condition changes sentence embeddings: against the untouched encoder, over all texts.
type SpliceRow struct {
	Condition string         `json:"condition"`
	Cosine    stats.Interval `json:"cosine"`    // of the embedding with and without the edit
	Agreement stats.Interval `json:"agreement"` // share of the nearest neighbours that stay
}

// SpliceResult compares the trained autoencoder in the encoder with its controls.
type SpliceResult struct {
	Texts      int         `json:"texts"`
	Neighbours int         `json:"neighbours"`
	Rows       []SpliceRow `json:"rows"`
	// Differences of the trained autoencoder to the controls, text by text.
	CosineOverMean         stats.Interval `json:"cosine_over_mean"`
	AgreementOverMean      stats.Interval `json:"agreement_over_mean"`
	CosineOverUntrained    stats.Interval `json:"cosine_over_untrained"`
	AgreementOverUntrained stats.Interval `json:"agreement_over_untrained"`

	// Per text: tables/splice_texts.arrow.
	Cosines    map[string][]float64 `json:"-"`
	Agreements map[string][]float64 `json:"-"`
}

// SpliceInput is what MeasureSplice compares.
type SpliceInput struct {
	Tail               *Tail
	Texts              *Texts
	Base               []float32 // embeddings of the untouched encoder
	Trained, Untrained *sae.SAE
	Mean               []float32
	Cluster            []int // texts that depend on each other have one label
	Neighbours         int
	Seed               int64
	Done               func(n int64) // told of every text that is embedded; may be nil
}

// MeasureSplice replaces the residual stream of every token by the autoencoder's reconstruction, by that of the same
// autoencoder before training, and by the mean, and compares the sentence embeddings with those of the untouched encoder.
func MeasureSplice(ctx context.Context, in SpliceInput) (*SpliceResult, error) {
	w := in.Tail.Width()
	before, err := Neighbours(in.Base, w, in.Neighbours)
	if err != nil {
		return nil, err
	}
	out := &SpliceResult{Texts: in.Texts.Len(), Neighbours: in.Neighbours, Cosines: map[string][]float64{}, Agreements: map[string][]float64{}}
	for _, c := range []struct {
		name string
		sae  *sae.SAE
	}{{Trained, in.Trained}, {Untrained, in.Untrained}, {MeanOnly, nil}} {
		e := Edit{Mean: in.Mean}
		if c.sae != nil {
			spliced, err := Splice(c.sae)
			if err != nil {
				return nil, err
			}
			e = Edit{SAE: spliced}
		}
		after, err := in.Tail.Embed(ctx, in.Texts, lab.UpTo(in.Texts.Len()), e, in.Done)
		if err != nil {
			return nil, err
		}
		if e.SAE != nil {
			if err := e.SAE.Free(); err != nil {
				return nil, err
			}
		}
		near, err := Neighbours(after, w, in.Neighbours)
		if err != nil {
			return nil, err
		}
		row := SpliceRow{Condition: c.name}
		out.Cosines[c.name], out.Agreements[c.name] = cosines(in.Base, after, w), agreement(before, near)
		if row.Cosine, err = lab.MeanOver(ctx, out.Cosines[c.name], in.Cluster, in.Seed); err != nil {
			return nil, err
		}
		if row.Agreement, err = lab.MeanOver(ctx, out.Agreements[c.name], in.Cluster, in.Seed); err != nil {
			return nil, err
		}
		out.Rows = append(out.Rows, row)
	}
	for _, d := range []struct {
		of      map[string][]float64
		control string
		to      *stats.Interval
	}{
		{out.Cosines, MeanOnly, &out.CosineOverMean}, {out.Agreements, MeanOnly, &out.AgreementOverMean},
		{out.Cosines, Untrained, &out.CosineOverUntrained}, {out.Agreements, Untrained, &out.AgreementOverUntrained},
	} {
		if *d.to, err = lab.MeanOver(ctx, lab.Minus(d.of[Trained], d.of[d.control]), in.Cluster, in.Seed); err != nil {
			return nil, err
		}
	}
	return out, nil
}
