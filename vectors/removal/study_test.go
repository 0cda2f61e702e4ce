package removal

import (
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/vectors"
)

// small is the study on a few sentences through MiniLM.
func small(t *testing.T, set ...string) (*config.Config, error) {
	t.Helper()
	return config.Load([]config.Kind{ConfigKind()}, config.Input{Path: filepath.Join(graphtest.ModuleRoot(t), "experiments", "ablate.yaml"), Set: append([]string{
		"name=small", "models=[{model: minilm, site: blocks.1.hook_resid_post, max_length: 16}]", "corpus.train_pairs=60", "corpus.held_out_pairs=20", "methods=[ablation, leace, leace-oracle]",
		"shuffled=[leace]", "probes=[logistic]", "damage.documents=12", "damage.max_length=16", "damage.neighbours=3", "intervals.resamples=100",
	}, set...)})
}

// TestAblate: before, probes read the concept; after, the exact linear classifier of the fitted texts has no weight and the
// held-out probe is at chance; a random direction and shuffled labels take little; another concept stays; the eraser is saved and
// is for this model alone. A run that goes on after it was stopped has the same numbers.
func TestAblate(t *testing.T) {
	graphtest.Model(t, "minilm")
	b := graphtest.Backend(t)
	if graphtest.IsGo(t) {
		t.Skip("the model is slow on the Go backend")
	}
	c, err := small(t)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := c.Hash()
	if err != nil {
		t.Fatal(err)
	}
	spec := run.Spec{Root: t.TempDir(), Name: "small", Kind: Kind, Config: c.YAML(), ConfigHash: hash}
	dir, err := run.Create(spec)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Study().Carry(t.Context(), b, c.Value, dir, lab.Options{Stores: t.TempDir()})
	if err != nil {
		t.Fatal(dir.Fail(err))
	}
	got := map[string]float64{}
	for _, m := range r.Metrics {
		got[m.Name] = m.Value
	}
	at := func(name string) float64 {
		v, ok := got["minilm."+name]
		if !ok {
			t.Fatalf("no number %s", name)
		}
		return v
	}
	t.Logf("AUC before %.3f, after LEACE %.3f, ablation %.3f, oracle %.3f, random %.3f, shuffled %.3f; embeddings move to cosine %.4f",
		at("before.logistic_auc"), at("leace.logistic_auc"), at("ablation.logistic_auc"), at("leace-oracle.logistic_auc"), at("random_1.logistic_auc"), at("leace_shuffled.logistic_auc"), at("leace.embedding_cosine"))
	if at("before.logistic_auc") < 0.8 || at("before.gain") < 0.1 {
		t.Error("the concept is not there before")
	}
	for _, m := range []string{"leace", "ablation", "leace-oracle"} {
		if at(m+".weight") > 1e-8 || at(m+".gain") > 1e-8 {
			t.Errorf("%s leaves a weight of %g", m, at(m+".weight"))
		}
		if a := at(m + ".logistic_auc"); a > 0.65 || a < 0.35 {
			t.Errorf("a held-out probe reads %.3f after %s", a, m)
		}
	}
	for _, m := range []string{"random_1", "leace_shuffled"} {
		if at(m+".logistic_auc") < at("before.logistic_auc")-0.15 {
			t.Errorf("%s takes the concept away", m)
		}
	}
	if at("leace.other_negation") < at("before.other_negation")-0.15 || at("random_1.embedding_cosine") < 0.9 {
		t.Error("other things are lost")
	}
	s, err := vectors.Load(filepath.Join(dir.Path(), "weights", "minilm-animals-leace.json"), vectors.Use{Site: "blocks.1.hook_resid_post", Position: "mean", D: 384})
	if err != nil || s.Rank != 1 || s.Family != "bert" || s.Fitted.Rows != 120 {
		t.Errorf("saved %+v, %v", s, err)
	}
	if len(s.Model.Digest) != 64 {
		t.Errorf("digest %q", s.Model.Digest)
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
}

// TestAblateRefuses: settings that make no sense are named with their cure.
func TestAblateRefuses(t *testing.T) {
	for set, says := range map[string]string{
		"methods=[leec]": `did you mean "leace"?`, "random=0": "without its control", "target.values=[animals, food]": "name one class", "models=[]": "list at least one",
		"models=[{model: minilm, site: sentence}]": "inside a block", "target.task=regression": "judged on classes", "probes=[ccs]": "does not read single", "shuffled=[leace, leace]": "twice",
		"models=[{model: minilm, site: blocks.1.hook_resid_post, position: middle}]": "position \"middle\"",
	} {
		if _, err := small(t, set); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", set, err)
		}
	}
	c, err := small(t)
	if err != nil {
		t.Fatal(err)
	}
	if steps := Study().Steps(c.Value); len(steps) != 3 || !strings.Contains(steps[0], "60 + 20 pairs") {
		t.Errorf("plan %q", steps)
	}
}
