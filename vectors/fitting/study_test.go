package fitting

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/probe/store"
	"loupe/vectors"
)

const width = 6

// labelledStore has texts of two tokens: the first carries the label kind in entry 0 and the number size in entry 1.
func labelledStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "s")
	w, err := store.Create(dir, store.Spec{
		Model: store.Source{ID: "toy", Digest: "d"}, Tokenizer: "t", Corpus: store.Source{ID: "toy", Digest: "c"}, Labels: []string{"kind", "size", "span_start", "span_end"}, KeepText: true,
		Sites: []store.Site{{Name: "blocks.0.hook_resid_post", Per: store.Token, Shape: []int{width}, DType: store.Float32}}, Moments: store.MomentOptions{Off: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var b store.Batch
	b.Rows.Sites = make([][]float32, 1)
	for id := range int64(200) {
		kind, size := []string{"sea", "art", "law"}[id%3], rng.NormFloat64()
		end := 4
		if id == 7 {
			end = 2 // cuts the word
		}
		b.Docs = append(b.Docs, store.Doc{ID: id, Text: fmt.Sprintf("text number %d", id), Split: []string{"train", "held-out"}[id/140], Labels: map[string]string{
			"kind": kind, "size": fmt.Sprint(size), "span_start": "0", "span_end": fmt.Sprint(end)}})
		for pos := range int32(2) {
			b.Rows.Doc, b.Rows.Pos, b.Rows.Token = append(b.Rows.Doc, id), append(b.Rows.Pos, pos), append(b.Rows.Token, pos)
			b.Rows.CharStart, b.Rows.CharEnd, b.Rows.Special = append(b.Rows.CharStart, 5*pos), append(b.Rows.CharEnd, 5*pos+4), append(b.Rows.Special, false)
			for j := range width {
				v := rng.NormFloat64()
				switch {
				case j == 0 && pos == 0 && kind == "sea":
					v += 4
				case j == 1 && pos == 0:
					v += 3 * size
				}
				b.Rows.Sites[0] = append(b.Rows.Sites[0], float32(v))
			}
		}
	}
	if err := w.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// carry runs the study on the toy store and returns its numbers and its folder.
func carry(t *testing.T, set ...string) (map[string]float64, string, error) {
	t.Helper()
	set = append([]string{"name=toy", "data.store=" + labelledStore(t), "data.sites=[blocks.0.hook_resid_post]", "data.positions=[first, last]", "data.target.label=kind",
		"data.target.positive=sea", "data.target.by="}, set...)
	c, err := config.Load([]config.Kind{ConfigKind()}, config.Input{Kind: Kind, Set: set})
	if err != nil {
		return nil, "", err
	}
	hash, err := c.Hash()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := run.Create(run.Spec{Root: t.TempDir(), Name: "toy", Kind: Kind, Config: c.YAML(), ConfigHash: hash})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Study().Carry(t.Context(), nil, c.Value, dir, lab.Options{})
	if err != nil {
		return nil, "", dir.Fail(err)
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, m := range r.Metrics {
		out[m.Name] = m.Value
	}
	return out, dir.Path(), nil
}

// TestFit: a direction reads the planted concept where it is and not where it is not, beside shuffled labels at chance; erasers
// take a linear probe to chance; the saved vectors come back with their provenance and point at the planted entry.
func TestFit(t *testing.T) {
	got, dir, err := carry(t, "methods=[diff-means, logistic, leace, ablation]")
	if err != nil {
		t.Fatal(err)
	}
	at := func(position, method, figure string) float64 {
		v, ok := got["kind.blocks.0.hook_resid_post."+position+"."+method+"."+figure]
		if !ok {
			t.Fatalf("no %s of %s at %s among %v", figure, method, position, got)
		}
		return v
	}
	for _, m := range []string{"diff-means", "logistic"} {
		if first, last, shuffled := at("first", m, "reads"), at("last", m, "reads"), at("first", m, "shuffled"); first < 0.98 || last > 0.75 || shuffled > 0.85 {
			t.Errorf("%s reads %.3f at the first token, %.3f at the last, %.3f with shuffled labels", m, first, last, shuffled)
		}
	}
	for _, m := range []string{"leace", "ablation"} {
		if after := at("first", m, "after"); after > 0.65 {
			t.Errorf("after %s a linear probe reads %.3f", m, after)
		}
	}
	s, err := vectors.Load(filepath.Join(dir, "weights", "kind-blocks.0.hook_resid_post-first-diff-means.json"), vectors.Use{Model: "d", Site: "blocks.0.hook_resid_post", Position: "first", D: width})
	if err != nil {
		t.Fatal(err)
	}
	truth := make([]float64, width)
	truth[0] = 1
	if cos, err := vectors.Cosine(s.Directions.RawRowView(0), truth); err != nil || cos < 0.97 {
		t.Errorf("cosine to the planted entry %v, %v", cos, err)
	}
	if s.Layer != 0 || s.Fitted.Rows != 140 || s.Fitted.Test != 60 || s.Fitted.Store == "" || s.HeldOut == nil || s.HeldOut.Value < 0.98 {
		t.Errorf("card %+v", s.Card)
	}
}

// TestFitOtherLabels: graded labels give a direction that follows the number; classes go through erasers.
func TestFitOtherLabels(t *testing.T) {
	got, _, err := carry(t, "methods=[ridge]", "data.target.label=size", "data.target.task=regression")
	if err != nil {
		t.Fatal(err)
	}
	if v := got["size.blocks.0.hook_resid_post.first.ridge.reads"]; v < 0.9 {
		t.Errorf("Spearman's correlation with the number is %.3f", v)
	}
	got, _, err = carry(t, "methods=[leace]", "data.target.task=multiclass")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := got["kind.blocks.0.hook_resid_post.first.leace.after"]; !ok || v > 0.65 {
		t.Errorf("after LEACE of three classes a linear probe reads %.3f (%v)", v, got)
	}
}

// TestFitRefuses: bad input is named with its cure.
func TestFitRefuses(t *testing.T) {
	for _, c := range []struct {
		set  string
		says string
	}{
		{"methods=[leec]", `did you mean "leace"?`}, {"methods=[leace-oracle]", "loupe vectors ablate"}, {"shuffles=0", "without its control"},
		{"data.target.positive=see", `did you mean "sea"?`}, {"data.sites=[blocks.1.hook_resid_post]", "did you mean"},
		{"data.target.task=multiclass", "choose a class with target.positive"}, {"data.positions=[span-mean]", "the token at [0, 4) cuts its span [0, 2)"}, {"data.target.label=size", "no document has size"},
	} {
		_, _, err := carry(t, c.set)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.set, err)
		}
	}
}
