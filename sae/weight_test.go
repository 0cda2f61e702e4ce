package sae

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/probe/store"
)

// weightedStore has 40 documents of 50 rows of a site x, whose row r holds r. A row in ten has token 2, the others token 1; a
// quarter of the documents is of class "sea", the others "land".
func weightedStore(t *testing.T) *store.Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.Create(dir, store.Spec{
		Model: store.Source{ID: "m", Digest: "m"}, Moments: store.MomentOptions{Off: true}, Labels: []string{"topic"},
		Sites: []store.Site{{Name: "x", Per: store.Token, Shape: []int{1}, DType: store.Float32}},
	})
	if err != nil {
		t.Fatal(err)
	}
	row := 0
	for doc := range int64(40) {
		rows := store.Rows{Sites: make([][]float32, 1)}
		for p := range int32(50) {
			token := int32(1)
			if p%10 == 0 {
				token = 2
			}
			rows.Doc, rows.Pos, rows.Token, rows.Special = append(rows.Doc, doc), append(rows.Pos, p), append(rows.Token, token), append(rows.Special, false)
			rows.Sites[0] = append(rows.Sites[0], float32(row))
			row++
		}
		class := map[bool]string{true: "sea", false: "land"}[doc%4 == 0]
		if err := w.Append(t.Context(), store.Batch{Docs: []store.Doc{{ID: doc, Labels: map[string]string{"topic": class}}}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(dir, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func weightedSource(t *testing.T, st *store.Store, w Weights) *StoreSource {
	t.Helper()
	src, err := NewStoreSource(t.Context(), st, []string{"x"}, store.Select{}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Weigh(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return src
}

// TestWeights draws 50 epochs' worth of rows and compares the shares of tokens and classes with those of the weights: token 1
// has nine tenths of the rows and weighs sqrt(0.1 / 0.9) = 1/3, so that it comes 0.3 times for every 0.1 of token 2; "sea" has
// a quarter and weighs 3, so that it comes as often as the rest.
func TestWeights(t *testing.T) {
	st := weightedStore(t)
	const n = 100_000
	for name, c := range map[string]struct {
		w         Weights
		rare, sea float64 // shares
	}{
		"none":      {Weights{}, 0.1, 0.25},
		"subsample": {Weights{Subsample: 0.1}, 0.25, 0.25},
		"class":     {Weights{Classes: []ClassWeight{{"topic", "sea", 3}}}, 0.1, 0.5},
		"below one": {Weights{Classes: []ClassWeight{{"topic", "land", 0.25}}}, 0.1, 4.0 / 7},
		"only sea":  {Weights{Classes: []ClassWeight{{"topic", "land", 0}}}, 0.1, 1},
		"both":      {Weights{Subsample: 0.1, Classes: []ClassWeight{{"topic", "sea", 3}}}, 0.25, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			src := weightedSource(t, st, c.w)
			x := make([]float32, n)
			if got, err := src.Next([][]float32{x}); got != n || err != nil {
				t.Fatalf("%d rows, %v", got, err)
			}
			rare, sea, times := 0.0, 0.0, map[float32]int{}
			for _, v := range x {
				times[v]++
				if int(v)%10 == 0 {
					rare++
				}
				if int(v)/50%4 == 0 {
					sea++
				}
			}
			for what, s := range map[string][2]float64{"token 2": {rare / n, c.rare}, "sea": {sea / n, c.sea}} {
				if d := math.Abs(s[0] - s[1]); d > 5*math.Sqrt(s[1]*(1-s[1])/n) {
					t.Errorf("%s has a share of %.4f of the rows read, want %.4f", what, s[0], s[1])
				}
			}
			if !c.w.None() && len(times) < 400 {
				t.Errorf("%d different rows: the same ones are left out in every epoch", len(times))
			}
		})
	}
}

// TestWeightsRestart goes on from states in the middle of epochs.
func TestWeightsRestart(t *testing.T) {
	st := weightedStore(t)
	w := Weights{Subsample: 0.05, Classes: []ClassWeight{{"topic", "sea", 2}}}
	src := weightedSource(t, st, w)
	next := func(s *StoreSource) []float32 {
		x := make([]float32, 77)
		if _, err := s.Next([][]float32{x}); err != nil {
			t.Fatal(err)
		}
		return x
	}
	var states [][]byte
	var batches [][]float32
	for range 60 {
		state, err := src.State()
		if err != nil {
			t.Fatal(err)
		}
		states, batches = append(states, state), append(batches, next(src))
	}
	for i := 0; i+3 < len(states); i += 5 {
		again := weightedSource(t, st, w)
		if err := again.Restore(states[i]); err != nil {
			t.Fatal(err)
		}
		for j := i; j < i+3; j++ {
			if !slices.Equal(next(again), batches[j]) {
				t.Fatalf("restored at batch %d, batch %d differs", i, j)
			}
		}
	}
	other := weightedSource(t, st, Weights{})
	if err := other.Restore(states[1]); err == nil || !strings.Contains(err.Error(), "saved with weights") {
		t.Errorf("a cursor of other weights: %v", err)
	}
}

func TestWeightsRefuse(t *testing.T) {
	st := weightedStore(t)
	for want, w := range map[string]Weights{
		"subsample is -1":       {Subsample: -1},
		"subsample is NaN":      {Subsample: math.NaN()},
		"class_weights.0 is":    {Classes: []ClassWeight{{"topic", "sea", -1}}},
		`no label "mood"`:       {Classes: []ClassWeight{{"mood", "x", 1}}},
		`has the class "sky"`:   {Classes: []ClassWeight{{"topic", "sky", 1}}},
		"every document weighs": {Classes: []ClassWeight{{"topic", "sea", 0}, {"topic", "land", 0}}},
	} {
		src, err := NewStoreSource(t.Context(), st, []string{"x"}, store.Select{}, 7)
		if err != nil {
			t.Fatal(err)
		}
		if err := src.Weigh(t.Context(), w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", w, err, want)
		}
	}
	// A selection whose rows weigh nothing while others do.
	src, err := NewStoreSource(t.Context(), st, []string{"x"}, store.Select{Label: "topic", Class: "land"}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Weigh(t.Context(), Weights{Classes: []ClassWeight{{"topic", "land", 0}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Next([][]float32{make([]float32, 10)}); err == nil || !strings.Contains(err.Error(), "weigh nothing") {
		t.Errorf("rows without weight: %v", err)
	}
}
