package lab

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/vectors"
)

// TestReduceRows: special tokens are left out; a site with one value a text is taken as it is.
func TestReduceRows(t *testing.T) {
	rows := mat.NewDense(4, 2, []float64{9, 9, 1, 2, 3, 6, 9, 9})
	special := []bool{true, false, false, true}
	for _, c := range []struct {
		rows   *mat.Dense
		reduce Reduction
		want   []float64
	}{{rows, MeanToken, []float64{2, 4}}, {rows, LastToken, []float64{3, 6}}, {mat.NewDense(1, 2, []float64{7, 8}), MeanToken, []float64{7, 8}}} {
		got := make([]float64, 2)
		if err := reduceRows(got, c.rows, special, c.reduce); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.reduce, got, err, c.want)
		}
	}
	if err := reduceRows(make([]float64, 2), rows, []bool{true, true, true, true}, MeanToken); err == nil {
		t.Error("a text of special tokens alone has no mean")
	}
}

// TestRead: a text reads the same alone and among others, in any batch; an eraser of a direction takes it out of the site.
func TestRead(t *testing.T) {
	graphtest.Model(t, "minilm")
	l, err := Open(t.Context(), graphtest.Backend(t), "minilm", nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	texts := []string{"The cat sat on the mat.", "Rain.", "A letter about the new law came on Monday morning."}
	sites := []model.Site{{Kind: model.ResidPost, Layer: 1}, {Kind: model.Sentence}}
	read := func(texts []string, opt ReadOptions) []*mat.Dense {
		t.Helper()
		out, err := l.Read(t.Context(), texts, sites, MeanToken, opt)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := read(texts, ReadOptions{Batch: 2})
	for i, text := range texts {
		for s, x := range read([]string{text}, ReadOptions{Batch: 1}) {
			for j, v := range x.RawRowView(0) {
				if math.Abs(v-all[s].At(i, j)) > model.ForwardTolerance*(1+math.Abs(v)) {
					t.Fatalf("text %d at %s: %v alone, %v in a batch", i, sites[s], v, all[s].At(i, j))
				}
			}
		}
	}
	direction := mat.NewDense(1, l.Model.Spec.DModel, nil)
	direction.Set(0, 3, 1)
	ablation, err := vectors.Ablation(direction)
	if err != nil {
		t.Fatal(err)
	}
	edited := read(texts, ReadOptions{Batch: 2, Edit: func(batch, seq int) (*vectors.Edit, error) {
		return ablation.Edit(l.Model.Spec, sites[0], batch, seq, 1)
	}})
	for i := range texts {
		if v := edited[0].At(i, 3); math.Abs(v) > 1e-6 {
			t.Errorf("text %d has %v along the ablated direction", i, v)
		}
	}
	if mat.EqualApprox(edited[1], all[1], 1e-4) {
		t.Error("the ablation does not reach the sentence embedding")
	}
	skipped := read(texts[:1], ReadOptions{Batch: 1, Skip: 3}) // [CLS] and two words
	if err := l.EachText(t.Context(), texts[:1], sites, ReadOptions{Batch: 1}, func(_ int, r TextRows) error {
		want, n := 0.0, float64(r.Len()-4) // and [SEP]
		for i := 3; i < r.Len()-1; i++ {
			want += r.Rows[0].At(i, 0) / n
		}
		if math.Abs(skipped[0].At(0, 0)-want) > 1e-9 {
			t.Errorf("without the first tokens %v, want %v", skipped[0].At(0, 0), want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(t.Context(), nil, sites, MeanToken, ReadOptions{}); err == nil {
		t.Error("no text is an error")
	}
}
