package autoencoders

import (
	"bytes"
	"strings"
	"testing"

	"loupe/internal/arrowio"
	"loupe/internal/lab"
	"loupe/internal/run"
)

// checkResult sees that every part of a small run is there and within its range.
func checkResult(t *testing.T, r *Result, dir *run.Dir) {
	t.Helper()
	if len(r.Trained) != 3 || r.Trained[0].Name != "topk-1" || r.Spliced != 16 || r.Epochs < 2 {
		t.Errorf("%+v", r)
	}
	if r.Check > 1e-5 {
		t.Errorf("keeping the error changes the embeddings by %v", r.Check)
	}
	if l0 := r.find("topk", "l0").Seeds.Value; l0 != 8 {
		t.Errorf("L0 of topk is %v, want 8", l0)
	}
	if l0 := r.find(random, "l0").Seeds.Value; l0 != 8 {
		t.Errorf("L0 of the random control is %v, want 8", l0)
	}
	fvu := func(method string) float64 { return r.find(method, "fvu").Texts.Value }
	if !(fvu("topk") < fvu(pca) && fvu(pca) < fvu(random) && fvu(random) < 1) {
		t.Errorf("FVU: topk %v, PCA %v, random %v", fvu("topk"), fvu(pca), fvu(random))
	}
	if m := r.find("topk", "cosine"); m.OverAblated.Low < 0.1 || m.OverRandom.Low < 0 {
		t.Errorf("cosine of topk: %+v", m)
	}
	e := r.Explained
	if len(e.Latents) != 3 || e.Eligible < 3 || len(e.Latents[0].Examples) != 2 || e.Latents[0].Description == "" {
		t.Errorf("explained: %+v", e)
	}
	if reproduced, missed := lab.Verdicts(r.Expected); reproduced != 1 || missed != 1 {
		t.Errorf("expected one reproduced and one missed: %+v", r.Expected)
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FVU", "random", "pca", "mean ablation", "(tie)", "LATENT", "missed", "train "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the summary has no %q:\n%s", want, out.String())
		}
	}
	for name, rows := range map[string]int{
		"training": 3, "measures": len(r.Measures), "seeds": len(r.Measures), "rankings": 9, "explanations": 3, "latents": 256, "metrics": len(r.Metrics),
	} {
		table, err := arrowio.ReadTable(dir.File("tables", name+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := table.Rows(); err != nil || n != rows {
			t.Errorf("table %s: %d rows (%v), want %d", name, n, err, rows)
		}
	}
}
