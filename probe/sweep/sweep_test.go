package sweep

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/arrowio"
	"loupe/probe"
	"loupe/probe/store"
)

// cell finds a cell.
func (r *Report) cell(t testing.TB, target, site, position string) Cell {
	t.Helper()
	for _, c := range r.Cells {
		if c.Target == target && c.Site == site && c.Position == position {
			return c
		}
	}
	t.Fatalf("no cell of %s at %s, %s", target, site, position)
	return Cell{}
}

// TestSweepFindsThePlantedPlace: the concept is read at the layer and position where it was put, on held-out words and
// templates, and nowhere else; every control is at its chance.
func TestSweepFindsThePlantedPlace(t *testing.T) {
	dir, root := toyStore(t, toyOptions{}), t.TempDir()
	c := toyConfig(t, dir, `positions=["span-last","0"]`, `sites=["blocks.*.hook_resid_post","sentence"]`, "folds=4", "mdl.on=true", "controls.shuffles=9")
	r, err := toyRun(t, c, root, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 2*5 || len(r.Baselines) != 2*2 {
		t.Fatalf("%d cells and %d baselines", len(r.Cells), len(r.Baselines))
	}
	for _, target := range []string{"c0", "c1"} {
		there := r.cell(t, target, "blocks.1.hook_resid_post", "span-last")
		before := r.cell(t, target, "blocks.0.hook_resid_post", "span-last")
		aside := r.cell(t, target, "blocks.1.hook_resid_post", "0")
		t.Logf("%s: AUC there %.3f, a layer before %.3f, at another token %.3f; shuffled at most %.3f; selectivity %.3f; code length %.0f, shuffled %.0f bits", target, there.Figure,
			before.Figure, aside.Figure, there.Shuffled.Max, there.ControlTask.Selectivity.Value, there.MDL.Real.Bits, there.MDL.Shuffled.Bits)
		if there.Figure < 0.95 || before.Figure > 0.8 || aside.Figure > 0.7 {
			t.Errorf("%s: AUC %v there, %v a layer before, %v at another token", target, there.Figure, before.Figure, aside.Figure)
		}
		if there.Layer != 1 || there.Train != 112 || there.Test != 24 || there.Groups != 6 || there.Shuffled.P != 0.1 {
			t.Errorf("%s: %+v", target, there)
		}
		if there.MDL.Real.Bits >= there.MDL.Shuffled.Bits || there.CV == nil || there.CV.AUC.Value < 0.95 {
			t.Errorf("%s: code lengths %+v, cross-validation %+v", target, there.MDL, there.CV)
		}
		if there.ControlTask.Types != "entry" || there.ControlTask.Real < 0.95 {
			t.Errorf("%s: control task %+v", target, there.ControlTask)
		}
		if there.Calibration == nil || len(there.Calibration.After.Bins) == 0 {
			t.Errorf("%s: no calibration", target)
		}
	}
	for _, b := range r.Baselines {
		if b.Kind == Words && b.Figure != 0.5 {
			t.Errorf("%s: a bag of words has AUC %v on held-out words and templates", b.Target, b.Figure)
		}
	}
	table, err := arrowio.ReadTable(filepath.Join(r.Run, "tables", "cells.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	auc, err := arrowio.ColumnOf[float64](table, "auc")
	if err != nil || len(auc) != 10 || auc[0] != r.Cells[0].Score.AUC.Value {
		t.Errorf("column auc %v, %v", auc, err)
	}
	for _, name := range []string{"auc_low", "shuffled_max", "selectivity", "cv_auc", "ece_calibrated", "mdl"} {
		if table.Index(name) < 0 {
			t.Errorf("cells.arrow lacks %s", name)
		}
	}
	again, err := toyRun(t, c, root, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cells", "baselines", "reliability"} {
		a, errA := os.ReadFile(filepath.Join(r.Run, "tables", name+".arrow"))
		b, errB := os.ReadFile(filepath.Join(again.Run, "tables", name+".arrow"))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s.arrow: two runs differ, %v, %v", name, errA, errB)
		}
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil || !strings.Contains(out.String(), "SELECTIVITY") || strings.Count(out.String(), "\n") != 2+10+4 {
		t.Errorf("printed, %v:\n%s", err, out.String())
	}
}

// TestFitAndEvaluate: a saved probe scores on the test documents what its cell says, on another store of the model what
// a fresh look says, and is refused elsewhere.
func TestFitAndEvaluate(t *testing.T) {
	dir := toyStore(t, toyOptions{})
	r, err := toyRun(t, toyConfig(t, dir, "folds=3"), t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	cell := r.cell(t, "c1", "blocks.1.hook_resid_post", "span-last")
	card := filepath.Join(r.Run, filepath.FromSlash(cell.Probe))
	cfg := DefaultEval()
	cfg.Split, cfg.Shuffles = "held-out", 19
	e, err := Evaluate(t.Context(), card, dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	// the calibrator's slope keeps the order
	if e.Score.AUC != cell.Score.AUC || e.Rows != 24 || e.Groups != 6 || e.P != 0.05 || e.Calibration == nil {
		t.Errorf("evaluation %+v, the cell has AUC %+v", e, cell.Score.AUC)
	}
	if e.Calibration.ECE != cell.Calibration.After.ECE {
		t.Errorf("ECE %v, the cell has %v after calibration", e.Calibration.ECE, cell.Calibration.After.ECE)
	}
	fresh, err := Evaluate(t.Context(), card, toyStore(t, toyOptions{seed: 9}), cfg)
	if err != nil || fresh.Score.AUC.Value < 0.95 || fresh.Score.AUC.Value == 0 {
		t.Errorf("another store of the model: %+v, %v", fresh, err)
	}
	other := cfg
	other.Value = "c0"
	if e, err := Evaluate(t.Context(), card, dir, other); err != nil || e.Score.AUC.Value > 0.85 || e.Target != "c0" {
		t.Errorf("on the other concept: %+v, %v", e, err)
	}
	if _, err := Evaluate(t.Context(), card, toyStore(t, toyOptions{model: "other"}), cfg); !errors.Is(err, probe.ErrOther) {
		t.Errorf("another model: %v", err)
	}
	other.Value = "c2"
	if _, err := Evaluate(t.Context(), card, dir, other); err == nil || !strings.Contains(err.Error(), `"c2"`) {
		t.Errorf("unknown concept: %v", err)
	}
	other = cfg
	other.Split = "dev"
	if _, err := Evaluate(t.Context(), card, dir, other); err == nil || !strings.Contains(err.Error(), `no split "dev"`) {
		t.Errorf("unknown split: %v", err)
	}
}

// TestOtherMethods: attention reads all tokens, contrast-consistent search pairs, and classes and numbers have targets too.
func TestOtherMethods(t *testing.T) {
	dir := toyStore(t, toyOptions{})
	for name, c := range map[string]struct {
		keys  []string
		site  string
		at    string
		least float64
	}{
		"attention":  {[]string{"method=attention", "positions=mean", "attention.restarts=2"}, "blocks.1.hook_resid_post", "mean", 0.9},
		"ccs":        {[]string{"method=ccs"}, "blocks.1.hook_resid_post", "span-last", 0.9},
		"mlp":        {[]string{"method=mlp", "mlp.hidden=16", "mlp.learning_rate=0.01"}, "blocks.1.hook_resid_post", "span-last", 0.9},
		"multiclass": {[]string{"target.task=multiclass", "target.label=concept", "target.by=", "positions=span-last"}, "blocks.1.hook_resid_post", "span-last", 0.5},
		"rest":       {[]string{"target.label=concept", "target.by=", "target.positive="}, "blocks.1.hook_resid_post", "span-last", 0.3},
		"number":     {[]string{"target.task=regression", "target.label=length", "target.by=", "method=ridge", "positions=mean", "split.from=keys", `split.keys=["entry"]`, "split.check=[]"}, "blocks.0.hook_resid_post", "mean", 0.3},
		"keys":       {[]string{"split.from=keys"}, "blocks.1.hook_resid_post", "span-last", 0.9},
	} {
		c.keys = append(c.keys, "controls.shuffles=1")
		r, err := toyRun(t, toyConfig(t, dir, c.keys...), t.TempDir(), true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		best := 0.0
		for _, cell := range r.Cells {
			if cell.Site == c.site && cell.Position == c.at {
				best = max(best, cell.Figure)
			}
			if _, err := probe.Load(filepath.Join(r.Run, filepath.FromSlash(cell.Probe)), probe.Use{Model: "toy-digest", D: toyWidth}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		t.Logf("%s: %.3f", name, best)
		if best < c.least {
			t.Errorf("%s: %.3f, want %.3f", name, best, c.least)
		}
	}
}

func TestPositions(t *testing.T) {
	st, err := store.Open(toyStore(t, toyOptions{}), store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s, err := openSource(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	// document 0 is [CLS] first yesa0 of all [SEP]
	for name, want := range map[string][]int64{
		"cls": {0}, "first": {1}, "0": {1}, "1": {2}, "last": {4}, "-2": {3}, "mean": {1, 2, 3, 4}, "span-first": {2}, "span-last": {2}, "span-mean": {2},
	} {
		p, err := parsePosition(name)
		if err != nil {
			t.Fatal(err)
		}
		rows, bad, err := s.places(p, []int{0})
		if err != nil || len(bad) > 0 || !slices.Equal(rows[0], want) {
			t.Errorf("%s: rows %v, %v, %v; want %v", name, rows, bad, err, want)
		}
	}
	p, _ := parsePosition("7")
	if _, bad, _ := s.places(p, []int{0}); bad[0] == "" {
		t.Error("a text of four tokens has an eighth")
	}
	site, err := st.Site("blocks.0.hook_resid_post")
	if err != nil {
		t.Fatal(err)
	}
	x, err := s.gather(site, [][]int64{{1, 2}, {4}})
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]float32, 3*toyWidth)
	if err := st.Gather(raw, site.Name, []int64{1, 2, 4}); err != nil {
		t.Fatal(err)
	}
	for j := range toyWidth {
		if got, want := x.Row(0)[j], raw[j]/2+raw[toyWidth+j]/2; got != want || x.Row(1)[j] != raw[2*toyWidth+j] {
			t.Errorf("column %d: %v and %v, want %v and %v", j, got, x.Row(1)[j], want, raw[2*toyWidth+j])
		}
	}
}

// TestMisalignedSpans: a token that cuts a word, and a text that ends before its word, are listed, or left out.
func TestMisalignedSpans(t *testing.T) {
	dir := toyStore(t, toyOptions{cut: true, short: true})
	_, err := toyRun(t, toyConfig(t, dir), t.TempDir(), false)
	for _, want := range []string{"2 of 136 texts have no position span-last", "the yesa0 is near", "no token lies in its span", "cuts its span", "Set misaligned to drop"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	r, err := toyRun(t, toyConfig(t, dir, "misaligned=drop"), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Cells[0]; c.Dropped != 2 || c.Train != 110 {
		t.Errorf("%d dropped, %d training rows", c.Dropped, c.Train)
	}
}

// TestLeakStopsTheRun: a held-out sentence with a training word or text is found.
func TestLeakStopsTheRun(t *testing.T) {
	dir := toyStore(t, toyOptions{leak: true})
	if _, err := Open(t.Context(), toyConfig(t, dir, `split.check=["entry"]`)); err == nil || !strings.Contains(err.Error(), "entry") || !strings.Contains(err.Error(), "both sides") {
		t.Errorf("leak: %v", err)
	}
	if _, err := Open(t.Context(), toyConfig(t, dir, `split.check=[]`)); err != nil {
		t.Errorf("without a check: %v", err)
	}
}

func TestBagOfTokensWithoutText(t *testing.T) {
	r, err := toyRun(t, toyConfig(t, toyStore(t, toyOptions{plain: true}), "controls.shuffles=0"), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	if r.Baselines[0].Kind != Tokens || r.Cells[0].Shuffled != nil {
		t.Errorf("baselines %+v", r.Baselines)
	}
}

func TestConfigErrors(t *testing.T) {
	dir := toyStore(t, toyOptions{})
	for says, keys := range map[string][]string{
		"store is empty":                               {"store="},
		"sites is empty":                               {"sites=[]"},
		"position \"middle\"":                          {`positions=["middle"]`},
		"did you mean":                                 {"target.tusk=binary"},
		"use 0 for none":                               {"folds=1"},
		"between 0 and 1":                              {"split.from=keys", "split.held_out=1.5"},
		"needs a binary target":                        {"method=ccs", "target.task=multiclass"},
		"gives no probabilities":                       {"method=mass-mean", "mdl.on=true"},
		"a weight above 0":                             {"logistic.c=0"},
		"leave positions out":                          {"method=attention"},
		`no site "blocks.9.hook_resid_post"`:           {"sites=blocks.9.hook_resid_post"},
		`no label "positiv"; did you mean "positive"?`: {"target.label=positiv"},
		`no document has concept "c3"`:                 {`target.values=["c3"]`},
		`no document has positive "yes"`:               {"target.positive=yes"},
		"not a number":                                 {"target.task=regression", "target.label=template", "target.by="},
		`the store's splits are ["held-out" "train"]`:  {"split.test=test"},
		`no label "words"`:                             {"group=words"},
		"needs 2":                                      {`target.label=concept`, "target.positive=c0", "target.by=entry"},
	} {
		c, err := load(append([]string{"store=" + dir, "sites=blocks.1.hook_resid_post", "positions=span-last"}, keys...)...)
		if err == nil {
			var j *Job
			if j, err = Open(t.Context(), c); err == nil {
				j.Close()
			}
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want one that says %q", keys, err, says)
		}
	}
}
