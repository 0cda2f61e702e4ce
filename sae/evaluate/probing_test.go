package evaluate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/probe/text"
	"loupe/sae"
)

// detector has a latent that fires on the direction from sentences without a concept to those with it, and noise latents.
func detector(t *testing.T, f fixture, texts []string, positive []bool) *sae.SAE {
	t.Helper()
	a, err := f.subject.joint(t.Context(), siteKey{read: f.site}, texts)
	if err != nil {
		t.Fatal(err)
	}
	group := a.Groups()
	d := a.Width
	mean := meanRows(a.X, group, len(texts), d)
	s := randomTopK(f.site, d, 40, 0)
	s.Arch, s.K = sae.ArchStandard, 0
	s.ApplyBDecToInput = false
	var norm float64
	direction, middle := make([]float64, d), 0.0
	for i := range texts {
		for j := range d {
			v := mean[i*d+j] / float64(len(texts)) * 2
			if !positive[i] {
				v = -v
			}
			direction[j] += v
		}
	}
	for _, v := range direction {
		norm += v * v
	}
	for i := range texts {
		for j := range d {
			middle += mean[i*d+j] * direction[j] / norm / float64(len(texts))
		}
	}
	for j := range d {
		s.WEnc[j*40+7] = float32(direction[j] / norm * 5)
	}
	s.BEnc[7] = float32(-middle * 5)
	return s
}

// TestProbing: a dictionary with a detector of a concept finds it with one latent, better than random directions do, and the
// activations themselves with all coordinates; without a model the store's labels are the tasks.
func TestProbing(t *testing.T) {
	f := miniLM(t)
	b := f.bench(t)
	suite, err := text.NewSuite()
	if err != nil {
		t.Fatal(err)
	}
	sets, err := sae.GeneratedProbeSets(suite, 5, 30, 15)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets {
		if s.Name == "countries" {
			b.ProbeSets = []sae.ProbeSet{s}
		}
	}
	n := int(b.ProbeSets[0].TrainShare * float64(len(b.ProbeSets[0].Texts)))
	good := mustNew(t, "good", "good", detector(t, f, b.ProbeSets[0].Texts[:n], b.ProbeSets[0].Positive[:n]))
	random := mustNew(t, "random", "random", randomTopK(f.site, good.DIn, 40, 4))
	o, err := b.Probing(t.Context(), []*Dictionary{good, random})
	if err != nil {
		t.Fatal(err)
	}
	got := valuesOf(o)
	detail := o.Scores[0].Detail.([]ProbingDetail)
	if latent := detail[0].Scores[0].Latents[0]; latent != 7 || got["good"]["auc_1"].Value < 0.9 || got["good"]["auc_1"].Value <= got["random"]["auc_1"].Value {
		t.Errorf("latent %d with AUC %v; random %v", latent, got["good"]["auc_1"].Value, got["random"]["auc_1"].Value)
	}
	if v := got["activations"]["auc_all"].Value; v < 0.95 || len(got) != 3 {
		t.Errorf("the activations give %v; %d rows", v, len(got))
	}

	b.Subject, b.ProbeSets = nil, nil
	if o, err = b.Probing(t.Context(), []*Dictionary{good, random}); err != nil {
		t.Fatal(err)
	}
	if got = valuesOf(o); !strings.Contains(o.On, "labels of the store") || got["good"]["auc_5"].N != 3 || got["activations"]["auc_all"].Value < 0.8 {
		t.Errorf("on %q: %+v", o.On, got["good"]["auc_5"])
	}
}

// TestCorpusProbeSets: classes of a labelled file become balanced, shuffled tasks; small ones are left out.
func TestCorpusProbeSets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.jsonl")
	var lines strings.Builder
	for i := range 90 {
		class := []string{"red", "red", "blue"}[i%3]
		lines.WriteString(`{"text": "text ` + class + strings.Repeat("x", i) + `", "colour": "` + class + "\"}\n")
	}
	lines.WriteString(`{"text": "odd", "colour": "rare"}` + "\n")
	if err := os.WriteFile(path, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := text.DefaultCorpusConfig(text.KindJSONL)
	cfg.Path, cfg.LabelFields = path, []string{"colour"}
	sets, err := CorpusProbeSets(t.Context(), cfg, "colour", 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(sets) != 2 || sets[0].Name != "colour is blue" || len(sets[0].Texts) != 60 || len(sets[1].Texts) != 62 {
		t.Fatalf("%d sets: %+v", len(sets), sets)
	}
	positives, changes := 0, 0
	for i, is := range sets[0].Positive {
		if is != strings.Contains(sets[0].Texts[i], "blue") {
			t.Errorf("text %q has the label %v", sets[0].Texts[i], is)
		}
		if is {
			positives++
		}
		if i > 0 && is != sets[0].Positive[i-1] {
			changes++
		}
	}
	if positives != 30 || changes < 10 {
		t.Errorf("%d positives, %d changes", positives, changes)
	}
	if _, err := CorpusProbeSets(t.Context(), cfg, "shape", 1); err == nil || !strings.Contains(err.Error(), "shape") {
		t.Errorf("another label: %v", err)
	}
}
