package capture

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
	"loupe/probe/store"
)

// checkAgainstDirectRun runs the model on every sequence of a store alone, without padding, and compares every stored
// value of every site. Sequences are rebuilt from the store's own rows.
func checkAgainstDirectRun(t *testing.T, f *fixture, cfg Config, s *store.Store, tol float64) {
	t.Helper()
	rows, err := s.TokenRows(rowRange(s.Rows()))
	if err != nil {
		t.Fatal(err)
	}
	type key struct {
		doc int64
		seq int32
	}
	sequences := map[key][]store.TokenRow{}
	for _, r := range rows {
		k := key{r.Doc, r.Seq}
		if cfg.Packing {
			k.doc = 0
		}
		sequences[k] = append(sequences[k], r)
	}
	exampleDocs, _, err := s.ExampleIDs()
	if err != nil {
		t.Fatal(err)
	}
	token, example, err := resolveSites(f.model.Spec, cfg.Sites)
	if err != nil {
		t.Fatal(err)
	}
	for k, seq := range sequences {
		slices.SortFunc(seq, func(a, b store.TokenRow) int { return cmp.Compare(a.Pos, b.Pos) })
		n := len(seq)
		if int(seq[n-1].Pos) != n-1 {
			t.Fatalf("sequence %v has %d rows and ends at position %d", k, n, seq[n-1].Pos)
		}
		in := model.Inputs{IDs: make([]int32, n)}
		at := make([]int64, n)
		for i, r := range seq {
			in.IDs[i], at[i] = r.Token, r.Row
		}
		plan := model.Plan{Batch: 1, Seq: n}
		for _, c := range append(token, example...) {
			if whole := (model.Capture{Site: c.capture.Site}); !slices.Contains(plan.Captures, whole) {
				plan.Captures = append(plan.Captures, whole)
			}
		}
		program, err := f.engine.Compile(f.model.Spec, plan)
		if err != nil {
			t.Fatal(err)
		}
		out, err := program.Run(t.Context(), f.model.Params, in)
		if err != nil {
			t.Fatal(err)
		}
		value := func(c column) []float32 {
			v, err := tensors.CopyFlatData[float32](out.Site(c.capture.Site))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for _, c := range token {
			got := make([]float32, n*c.site.Dim())
			if err := s.Gather(got, c.site.Name, at); err != nil {
				t.Fatal(err)
			}
			nearly(t, c.site.Name, got, value(c), tol)
		}
		for _, c := range example {
			got := make([]float32, c.site.Dim())
			if err := s.Gather(got, c.site.Name, []int64{int64(slices.Index(exampleDocs, k.doc))}); err != nil {
				t.Fatal(err)
			}
			nearly(t, c.site.Name, got, reduced(c, value(c), n), tol)
		}
		if err := out.Free(); err != nil {
			t.Fatal(err)
		}
	}
}

// reduced is the host's own reduction of a site's values [n, d].
func reduced(c column, v []float32, n int) []float32 {
	d := c.site.Dim()
	switch {
	case c.capture.Reduce == model.Whole:
		return v
	case c.capture.Reduce == model.TokenMean:
		out := make([]float32, d)
		for j := range out {
			sum := 0.0
			for i := range n {
				sum += float64(v[i*d+j])
			}
			out[j] = float32(sum / float64(n))
		}
		return out
	case c.at == 0:
		return v[:d]
	}
	return v[(n-1)*d : n*d]
}

// nearly fails unless every |a-b| <= tol (1+|b|).
func nearly(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tol*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("%s: value %d is %v, want %v (tolerance %g)", what, i, got[i], want[i], tol)
		}
	}
}
