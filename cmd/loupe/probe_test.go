package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/probe/store"
	"loupe/probe/sweep"
)

// labelledStore has 80 documents of two tokens, of which the first carries the label "kind" in its first coordinate.
func labelledStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "s")
	w, err := store.Create(dir, store.Spec{
		Model: store.Source{ID: "toy", Digest: "d"}, Tokenizer: "t", Corpus: store.Source{ID: "toy", Digest: "c"}, Labels: []string{"kind"}, KeepText: true,
		Sites: []store.Site{{Name: "blocks.0.hook_resid_post", Per: store.Token, Shape: []int{4}, DType: store.Float32}}, Moments: store.MomentOptions{Off: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var b store.Batch
	b.Rows.Sites = make([][]float32, 1)
	for id := range int64(80) {
		kind := []string{"sea", "art"}[id%2]
		b.Docs = append(b.Docs, store.Doc{ID: id, Text: fmt.Sprintf("text number %d", id), Split: []string{"train", "held-out"}[id/60], Labels: map[string]string{"kind": kind}})
		for pos := range int32(2) {
			b.Rows.Doc, b.Rows.Pos, b.Rows.Token = append(b.Rows.Doc, id), append(b.Rows.Pos, pos), append(b.Rows.Token, pos)
			b.Rows.CharStart, b.Rows.CharEnd, b.Rows.Special = append(b.Rows.CharStart, 5*pos), append(b.Rows.CharEnd, 5*pos+4), append(b.Rows.Special, false)
			for j := range 4 {
				v := float32(rng.NormFloat64())
				if j == 0 && pos == 0 && kind == "sea" {
					v += 6
				}
				b.Rows.Sites[0] = append(b.Rows.Sites[0], v)
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

func TestProbeCommands(t *testing.T) {
	dir, runs := labelledStore(t), t.TempDir()
	file := filepath.Join(t.TempDir(), "probe.yaml")
	text := fmt.Sprintf("kind: probe\nname: kinds\nstore: %s\nsites: [blocks.0.hook_resid_post]\npositions: [first, last]\ntarget: {label: kind, positive: sea, by: \"\"}\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "probe", "sweep", file, "--dry-run", "--runs", runs)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"of toy", "logistic", "blocks.0.hook_resid_post at last", "kind, binary, classes [40 40]: 60 training and 20 test rows of 20 groups", "8, controls", "FLOPs"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
	if list, err := os.ReadDir(runs); err != nil || len(list) != 0 {
		t.Errorf("--dry-run made %v, %v", list, err)
	}
	if code, out, errs = runCLI(t, "probe", "sweep", file, "--runs", runs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"TARGET", "AUC 1.000 [", "bag of words", "length"} {
		if !strings.Contains(out, want) {
			t.Errorf("the sweep lacks %q:\n%s", want, out)
		}
	}
	if code, out, errs = runCLI(t, "probe", "fit", file, "--runs", runs, "--json"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var r sweep.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 2 || r.Cells[0].Figure < 0.99 || r.Cells[1].Figure > 0.8 {
		t.Errorf("cells %+v", r.Cells)
	}
	card := filepath.Join(r.Run, filepath.FromSlash(r.Cells[0].Probe))
	if code, out, errs = runCLI(t, "probe", "eval", card, dir, "--split", "held-out"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"(logistic) of blocks.0.hook_resid_post at first", "20 rows of 20 groups", "p 0.0010 under shuffled labels", "Brier"} {
		if !strings.Contains(out, want) {
			t.Errorf("the evaluation lacks %q:\n%s", want, out)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"fit", file, "--set", "method=logistik"}, 1, "wants one of logistic"},
		{[]string{"sweep", file, "--set", "sites=[\"blocks.7.hook_resid_post\"]"}, 1, "did you mean"},
		{[]string{"sweep", file, "--resume", "--runs", t.TempDir()}, 1, "to resume"},
		{[]string{"eval", card, dir, "--shuffles", "0"}, 2, "--shuffles"},
		{[]string{"eval", filepath.Join(runs, "no.json"), dir}, 1, "no such file"},
		{[]string{"eval", card}, 2, "usage"},
		{[]string{"guess"}, 2, "usage"},
	} {
		code, _, errs := runCLI(t, append([]string{"probe"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d, want %d; %s", c.args, code, c.code, errs)
		}
	}
}
