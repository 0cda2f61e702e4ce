package sae

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// FeatureConfig sizes a feature table.
type FeatureConfig struct {
	Examples   int `json:"examples" yaml:"examples"`       // top examples a latent, from different documents
	Context    int `json:"context" yaml:"context"`         // tokens shown before and after the active one
	Tokens     int `json:"tokens" yaml:"tokens"`           // tokens of largest share of the activation
	Logits     int `json:"logits" yaml:"logits"`           // top and bottom logits, where there is an unembedding
	Correlated int `json:"correlated" yaml:"correlated"`   // latents of largest correlation
	Neighbours int `json:"neighbours" yaml:"neighbours"`   // latents of largest decoder cosine
	SampleRows int `json:"sample_rows" yaml:"sample_rows"` // rows kept for correlations, tokens and concepts
}

// DefaultFeatureConfig returns ten of each and eight tokens of context.
func DefaultFeatureConfig() FeatureConfig {
	return FeatureConfig{Examples: 10, Context: 8, Tokens: 10, Logits: 10, Correlated: 5, Neighbours: 5, SampleRows: 100_000}
}

// Validate names the field that is out of range for f latents.
func (c FeatureConfig) Validate(f int) error {
	switch {
	case f < 2:
		return fmt.Errorf("sae: features: %d latents; it needs two or more", f)
	case c.Examples < 1 || c.Context < 0 || c.Tokens < 1 || c.Logits < 1:
		return fmt.Errorf("sae: features: examples %d, context %d, tokens %d, logits %d: give 1 or more, and 0 or more of context", c.Examples, c.Context, c.Tokens, c.Logits)
	case c.Correlated < 1 || c.Correlated >= f || c.Neighbours < 1 || c.Neighbours >= f:
		return fmt.Errorf("sae: features: correlated %d, neighbours %d of %d latents: give 1 to %d", c.Correlated, c.Neighbours, f, f-1)
	case c.SampleRows < 2:
		return fmt.Errorf("sae: features: sample_rows is %d; 2 is the least and 100000 usual", c.SampleRows)
	}
	return nil
}

// FeatureRows are consecutive tokens of documents, one row each.
type FeatureRows struct {
	Doc   []int64
	Pos   []int32
	Token []int32
	// Skip marks rows that do not count, such as special tokens: they are shown around examples only. Nil: none.
	Skip []bool
	// Concept holds, for each concept of the table, whether a row has it.
	Concept [][]bool
}

// Features gathers what each latent stands for, in one pass over rows in the order of the store. It holds 4 bytes a row
// (the tokens, for the examples' surroundings), the sample and F x Examples examples.
type Features struct {
	cfg      FeatureConfig
	f        int
	concepts []string

	rows     int64 // all
	counted  int64 // those that are not skipped
	tokens   []int32
	docs     []docStart
	active   []int64
	sum, top []float64
	examples []ranking
	sample   rowSample
}

// docStart says at which row a document begins, and at which of its positions.
type docStart struct {
	doc, row int64
	pos      int32
}

// NewFeatures returns an empty table for f latents and the named concepts, which may be none.
func NewFeatures(cfg FeatureConfig, f int, concepts []string) (*Features, error) {
	if err := cfg.Validate(f); err != nil {
		return nil, err
	}
	t := &Features{cfg: cfg, f: f, concepts: concepts, active: make([]int64, f), sum: make([]float64, f), top: make([]float64, f), examples: make([]ranking, f)}
	for i := range t.examples {
		t.examples[i].limit = cfg.Examples
	}
	t.sample = newRowSample(cfg.SampleRows)
	return t, nil
}

// Add takes in rows and their latents. Documents must come one after the other.
func (t *Features) Add(rows FeatureRows, lat Latents) error {
	n := lat.Rows()
	if len(rows.Doc) != n || len(rows.Pos) != n || len(rows.Token) != n || rows.Skip != nil && len(rows.Skip) != n || len(rows.Concept) != len(t.concepts) {
		return fmt.Errorf("sae: features: %d documents, %d positions, %d tokens, %d concepts for %d rows of latents and %d concepts", len(rows.Doc), len(rows.Pos), len(rows.Token), len(rows.Concept), n, len(t.concepts))
	}
	for c, has := range rows.Concept {
		if len(has) != n {
			return fmt.Errorf("sae: features: concept %q has %d values for %d rows", t.concepts[c], len(has), n)
		}
	}
	for r := range n {
		if len(t.docs) == 0 || t.docs[len(t.docs)-1].doc != rows.Doc[r] {
			t.docs = append(t.docs, docStart{rows.Doc[r], t.rows, rows.Pos[r]})
		}
		t.tokens = append(t.tokens, rows.Token[r])
		if rows.Skip == nil || !rows.Skip[r] {
			index, value := lat.Row(r)
			if err := t.addRow(index, value); err != nil {
				return err
			}
			t.sample.offer(t.rows, t.counted, index, value, func(c int) bool { return rows.Concept[c][r] }, len(t.concepts))
			t.counted++
		}
		t.rows++
	}
	return nil
}

func (t *Features) addRow(index []int32, value []float32) error {
	start := t.docs[len(t.docs)-1].row
	for j, l := range index {
		v := float64(value[j])
		if v == 0 {
			continue
		}
		if l < 0 || int(l) >= t.f {
			return fmt.Errorf("sae: features: row %d has latent %d of %d", t.rows, l, t.f)
		}
		t.active[l]++
		t.sum[l] += v
		if t.active[l] == 1 || v > t.top[l] {
			t.top[l] = v
		}
		ex := &t.examples[l]
		// one example a document: a better one of this document replaces the one kept
		if i := slices.IndexFunc(ex.kept, func(e scored) bool { return e.at >= start }); i >= 0 {
			if ex.kept[i].score >= v {
				continue
			}
			ex.kept = slices.Delete(ex.kept, i, i+1)
		}
		ex.offer(v, t.rows)
	}
	return nil
}

// Example is a place where a latent is active.
type Example struct {
	Doc    int64
	Pos    int32
	Value  float64
	Tokens []int32 // the surroundings within the document, at most Context on either side
	At     int     // the active token's place in Tokens
}

// Examples returns the top examples of a latent, the strongest first.
func (t *Features) Examples(latent int) []Example {
	var out []Example
	for _, e := range t.examples[latent].kept {
		d := sort.Search(len(t.docs), func(i int) bool { return t.docs[i].row > e.at }) - 1
		end := t.rows
		if d+1 < len(t.docs) {
			end = t.docs[d+1].row
		}
		from, to := max(t.docs[d].row, e.at-int64(t.cfg.Context)), min(end, e.at+int64(t.cfg.Context)+1)
		out = append(out, Example{
			Doc: t.docs[d].doc, Pos: t.docs[d].pos + int32(e.at-t.docs[d].row), Value: e.score,
			Tokens: t.tokens[from:to], At: int(e.at - from),
		})
	}
	return out
}

// Density returns the share of rows on which each latent was active, [F].
func (t *Features) Density() []float64 {
	out := make([]float64, t.f)
	for i, n := range t.active {
		out[i] = float64(n) / float64(t.counted)
	}
	return out
}

// check refuses a table without rows or with a context that ended.
func (t *Features) check(ctx context.Context) error {
	if t.counted == 0 {
		return errors.New("sae: features: no rows that count were added; capture activations first")
	}
	return ctx.Err()
}
