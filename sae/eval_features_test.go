package sae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"loupe/internal/arrowio"
	"loupe/internal/stats"
)

// featureConfig is small enough to read a table by eye.
func featureConfig() FeatureConfig {
	return FeatureConfig{Examples: 2, Context: 1, Tokens: 2, Logits: 1, Correlated: 1, Neighbours: 1, SampleRows: 1000}
}

// TestFeaturesByHand has two documents of three tokens and three latents: latent 0 fires on token 7 of both documents and
// once more, more weakly, in the first; latent 1 fires with it; latent 2 never does.
func TestFeaturesByHand(t *testing.T) {
	ft, err := NewFeatures(featureConfig(), 3, []string{"first", "seven"})
	if err != nil {
		t.Fatal(err)
	}
	rows := FeatureRows{
		Doc: []int64{4, 4, 4, 9, 9, 9}, Pos: []int32{1, 2, 3, 0, 1, 2}, Token: []int32{5, 7, 6, 7, 8, 9},
		Concept: [][]bool{{true, true, true, false, false, false}, {false, true, false, true, false, false}},
	}
	lat := Latents{K: 2, Index: []int32{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}, Value: []float32{1, 0, 4, 2, 0, 0, 3, 2, 0, 0, 0, 0}}
	if err := ft.Add(rows, lat); err != nil {
		t.Fatal(err)
	}
	got := ft.Examples(0)
	want := []Example{
		{Doc: 4, Pos: 2, Value: 4, Tokens: []int32{5, 7, 6}, At: 1},
		{Doc: 9, Pos: 0, Value: 3, Tokens: []int32{7, 8}, At: 0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("examples are %+v, want %+v", got, want)
	}
	table, err := ft.Table(t.Context(), FeatureSources{
		Decoder: []float32{1, 0, 1, 1, 0, -2},
		Unembed: []float32{3, 0, 0, 1, -1, -1}, // three tokens
		Decode:  func(ids []int32) (string, error) { return fmt.Sprint(ids), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "features.arrow")
	if err := arrowio.WriteTable(path, table); err != nil {
		t.Fatal(err)
	}
	if table, err = arrowio.ReadTable(path); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"latent": []int32{0, 1, 2}, "density": []float64{0.5, 2.0 / 6, 0}, "active": []int64{3, 2, 0},
		"mean_activation": []float64{8.0 / 3, 2, 0}, "max_activation": []float64{4, 2, 0},
		"example_doc": []int64{4, 9, 4, 9, -1, -1}, "example_pos": []int32{2, 0, 2, 0, -1, -1}, "example_value": []float64{4, 3, 2, 2, 0, 0},
		"example_token": []int32{5, 7, 6, -1, 7, 8, 5, 7, 6, -1, 7, 8, -1, -1, -1, -1, -1, -1},
		"example_text":  []string{`["[5 7 6]","[7 8]"]`, `["[5 7 6]","[7 8]"]`, `[]`},
		"token":         []int32{7, 5, 7, -1, -1, -1}, "token_share": []float64{7.0 / 8, 1.0 / 8, 1, 0, 0, 0},
		"top_token": []int32{0, 0, 2}, "top_logit": []float32{3, 3, 2}, "bottom_token": []int32{2, 2, 1}, "bottom_logit": []float32{-1, -2, -2},
		"correlated": []int32{1, 0, -1}, "neighbour": []int32{1, 0, 0}, "neighbour_cosine": []float64{math.Sqrt(0.5), math.Sqrt(0.5), 0},
		"concept": []string{"seven", "seven", ""}, "concept_auc": []float64{1, 1, 0},
	} {
		at := table.Index(name)
		if at < 0 {
			t.Errorf("no column %s", name)
			continue
		}
		if got := table.Columns[at]; !alike(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	// Pearson of (1 4 0 3 0 0) and (0 2 0 2 0 0)
	r, err := stats.Pearson([]float64{1, 4, 0, 3, 0, 0}, []float64{0, 2, 0, 2, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "correlation", table.Columns[table.Index("correlation")].([]float64)[0], r.R, 1e-12)
}

// alike compares columns, floating-point ones to rounding.
func alike(got, want any) bool {
	a, ok := got.([]float64)
	if !ok {
		return reflect.DeepEqual(got, want)
	}
	return slices.EqualFunc(a, want.([]float64), func(x, y float64) bool { return math.Abs(x-y) < 1e-12 })
}

// TestFeaturesInAnyBatches: how rows are cut into batches does not change a table, and its correlations and AUCs are
// those of the dense definitions.
func TestFeaturesInAnyBatches(t *testing.T) {
	const n, f, k = 400, 12, 4
	rng := rand.New(rand.NewPCG(1, 9))
	rows := FeatureRows{Concept: make([][]bool, 1)}
	lat := Latents{K: k}
	dense := make([][]float64, f)
	for l := range dense {
		dense[l] = make([]float64, n)
	}
	for r := range n {
		rows.Doc, rows.Pos = append(rows.Doc, int64(r/20)), append(rows.Pos, int32(r%20))
		rows.Token = append(rows.Token, int32(rng.IntN(30)))
		rows.Concept[0] = append(rows.Concept[0], rng.IntN(3) == 0)
		fire := rng.Perm(f)[:k]
		if rows.Concept[0][r] && !slices.Contains(fire, 5) {
			fire[0] = 5
		}
		for _, l := range fire {
			v := float32(rng.IntN(4)) // ties, and empty slots
			if l == 5 && rows.Concept[0][r] {
				v += 2
			}
			lat.Index, lat.Value = append(lat.Index, int32(l)), append(lat.Value, v)
			dense[l][r] = float64(v)
		}
	}
	var first arrowio.Table
	for _, batch := range []int{n, 7} {
		ft, err := NewFeatures(featureConfig(), f, []string{"c"})
		if err != nil {
			t.Fatal(err)
		}
		for lo := 0; lo < n; lo += batch {
			hi := min(lo+batch, n)
			part := FeatureRows{Doc: rows.Doc[lo:hi], Pos: rows.Pos[lo:hi], Token: rows.Token[lo:hi], Concept: [][]bool{rows.Concept[0][lo:hi]}}
			if err := ft.Add(part, lat.Slice(lo, hi)); err != nil {
				t.Fatal(err)
			}
		}
		table, err := ft.Table(t.Context(), FeatureSources{Decoder: normals(3, f*6)})
		if err != nil {
			t.Fatal(err)
		}
		if batch == n {
			first = table
		} else if !reflect.DeepEqual(table, first) {
			t.Error("the table depends on the batches")
		}
		for l := range f {
			auc, err := stats.AUC(dense[l], rows.Concept[0])
			if err != nil {
				t.Fatal(err)
			}
			near(t, "AUC", ft.sample.conceptAUC(ft.sample.postings(f)[l], 0), auc, 1e-12)
			best := math.Inf(-1)
			for o := range f {
				if o == l {
					continue
				}
				c, err := stats.Pearson(dense[l], dense[o])
				if err != nil {
					t.Fatal(err)
				}
				best = max(best, c.R)
			}
			near(t, "correlation", table.Columns[table.Index("correlation")].([]float64)[l], best, 1e-9)
		}
	}
	if auc := first.Columns[first.Index("concept_auc")].([]float64); slices.Index(auc, slices.Max(auc)) != 5 {
		t.Errorf("the planted latent is not the best detector: %v", auc)
	}
}

// TestRowSampleIsEven: a sample never exceeds its size and is spread over all rows.
func TestRowSampleIsEven(t *testing.T) {
	s := newRowSample(10)
	for r := range int64(1000) {
		s.offer(r, r, nil, nil, nil, 0)
		if len(s.rows) > 10 {
			t.Fatalf("%d rows after %d", len(s.rows), r)
		}
	}
	for i, r := range s.rows {
		if r.row != int64(i)*s.stride {
			t.Errorf("row %d of the sample is %d with stride %d", i, r.row, s.stride)
		}
	}
	if len(s.rows) < 5 || s.rows[len(s.rows)-1].row < 500 {
		t.Errorf("%d rows up to %d", len(s.rows), s.rows[len(s.rows)-1].row)
	}
}

func TestFeaturesRefuse(t *testing.T) {
	ft, err := NewFeatures(featureConfig(), 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ft.Table(t.Context(), FeatureSources{Decoder: make([]float32, 6)}); err == nil || !strings.Contains(err.Error(), "no rows") {
		t.Errorf("an empty table: %v", err)
	}
	one := FeatureRows{Doc: []int64{1}, Pos: []int32{0}, Token: []int32{2}}
	if err := ft.Add(one, Latents{K: 1, Index: []int32{3}, Value: []float32{1}}); err == nil || !strings.Contains(err.Error(), "latent 3 of 3") {
		t.Errorf("a latent out of range: %v", err)
	}
	if err := ft.Add(one, newLatents(2, 1)); err == nil {
		t.Error("two rows of latents for one token")
	}
	bad := featureConfig()
	bad.Neighbours = 3
	if _, err := NewFeatures(bad, 3, nil); err == nil {
		t.Error("three neighbours among three latents")
	}
}

// TestFeaturesSkip: a row that does not count is shown around an example but gives neither activation nor density.
func TestFeaturesSkip(t *testing.T) {
	ft, err := NewFeatures(featureConfig(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := FeatureRows{Doc: []int64{1, 1, 1}, Pos: []int32{0, 1, 2}, Token: []int32{9, 5, 6}, Skip: []bool{true, false, false}}
	if err := ft.Add(rows, Latents{K: 1, Index: []int32{0, 0, 1}, Value: []float32{100, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	if got := ft.Density(); !slices.Equal(got, []float64{0.5, 0.5}) {
		t.Errorf("density %v", got)
	}
	if got := ft.Examples(0); len(got) != 1 || got[0].Value != 2 || !slices.Equal(got[0].Tokens, []int32{9, 5, 6}) || got[0].At != 1 {
		t.Errorf("examples %+v", got)
	}
	rows.Skip = rows.Skip[:1]
	if err := ft.Add(rows, Latents{K: 1, Index: []int32{0, 0, 1}, Value: []float32{1, 2, 3}}); err == nil {
		t.Error("one mark for three rows")
	}
}
