package fitting

import (
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/run"
)

// TestSignificance: the planted concept passes where it is, with the least p-value there is; where it is not, and for labels
// that say nothing, it does not. Holm's p is the p times the number of tests for the smallest.
func TestSignificance(t *testing.T) {
	set := []string{"name=toy", "data.store=" + labelledStore(t), "data.sites=[blocks.0.hook_resid_post]", "data.positions=[first, last]", "data.target.label=kind",
		"data.target.positive=sea", "data.target.by=", "permutations=39"}
	c, err := config.Load([]config.Kind{TestConfigKind()}, config.Input{Kind: TestKind, Set: set})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := c.Hash()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := run.Create(run.Spec{Root: t.TempDir(), Name: "toy", Kind: TestKind, Config: c.YAML(), ConfigHash: hash})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Tests().Carry(t.Context(), nil, c.Value, dir, lab.Options{})
	if err != nil {
		t.Fatal(dir.Fail(err))
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range r.Metrics {
		got[m.Name] = m.Value
	}
	const first, last = "kind.blocks.0.hook_resid_post.first", "kind.blocks.0.hook_resid_post.last"
	t.Logf("first: accuracy %.3f, p %.3f, Holm %.3f; last: accuracy %.3f, p %.3f", got[first+".accuracy"], got[first+".p"], got[first+".holm"], got[last+".accuracy"], got[last+".p"])
	if got[first+".accuracy"] < 0.9 || got[first+".p"] != 1.0/40 || got[first+".holm"] != 2.0/40 {
		t.Errorf("the planted concept: %v", got)
	}
	if got[last+".p"] < 0.1 {
		t.Errorf("a concept that is not there has p %v", got[last+".p"])
	}
	for bad, says := range map[string]string{"permutations=5": "use 19", "data.target.task=multiclass": "binary", "alpha=0": "between 0 and 1"} {
		if _, err := config.Load([]config.Kind{TestConfigKind()}, config.Input{Kind: TestKind, Set: append(set, bad)}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
