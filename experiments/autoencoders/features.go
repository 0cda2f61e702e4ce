package autoencoders

import (
	"context"

	"loupe/internal/arrowio"
	"loupe/internal/lab"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/sae"
)

// featureTable is what the table of latents says of each.
type featureTable struct {
	*sae.Features
	tokens []int32   // [F, explain.tokens]
	shares []float64 // the same
}

// features gathers the examples of every latent from the training texts, in the order of the store, and writes the table
// of all latents.
func (e *evaluator) features(ctx context.Context, s *sae.SAE, run *sae.Runner) (*featureTable, error) {
	cfg := sae.DefaultFeatureConfig()
	cfg.Examples, cfg.Context, cfg.Tokens = e.cfg.Explain.Examples, e.cfg.Explain.Context, e.cfg.Explain.Tokens
	cfg.Correlated, cfg.Neighbours, cfg.SampleRows = min(5, s.DSAE-1), min(5, s.DSAE-1), 50_000
	f, err := sae.NewFeatures(cfg, s.DSAE, nil)
	if err != nil {
		return nil, err
	}
	docs, err := e.st.Docs()
	if err != nil {
		return nil, err
	}
	bar := e.Progress("examples", "rows", e.st.Rows())
	defer bar.Done()
	err = e.st.Scan(ctx, []string{e.cfg.Site}, func(c store.Chunk) error {
		bar.Add(int64(len(c.Doc)))
		var rows sae.FeatureRows
		var x []float32
		var left []bool // without latents
		for i, doc := range c.Doc {
			if docs.Split[docs.Index(doc)] == text.HeldOut {
				continue
			}
			rows.Doc, rows.Pos, rows.Token = append(rows.Doc, doc), append(rows.Pos, c.Pos[i]), append(rows.Token, c.Token[i])
			x = append(x, c.Sites[0][i*e.d:(i+1)*e.d]...)
			left = append(left, c.Special[i] || int(c.Pos[i]) < e.cfg.Text.FromPos)
		}
		lat, err := run.Encode(ctx, x)
		if err != nil {
			return err
		}
		return f.Add(rows, without(lat, left))
	})
	if err != nil {
		return nil, err
	}
	table, err := f.Table(ctx, sae.FeatureSources{Decoder: s.WDec, Decode: e.decode})
	if err != nil {
		return nil, err
	}
	if err := (&lab.Table{Table: table}).Write(e.Dir, "latents"); err != nil {
		return nil, err
	}
	out := &featureTable{Features: f}
	if out.tokens, err = arrowio.ColumnOf[int32](table, "token"); err != nil {
		return nil, err
	}
	out.shares, err = arrowio.ColumnOf[float64](table, "token_share")
	return out, err
}

func (e *evaluator) decode(ids []int32) (string, error) { return e.Tokenizer.Decode(ids, false) }

// without empties the rows that are left out.
func without(lat sae.Latents, left []bool) sae.Latents {
	out := sae.Latents{Start: []int{0}}
	for r := range lat.Rows() {
		if !left[r] {
			index, value := lat.Row(r)
			out.Index, out.Value = append(out.Index, index...), append(out.Value, value...)
		}
		out.Start = append(out.Start, len(out.Index))
	}
	return out
}
