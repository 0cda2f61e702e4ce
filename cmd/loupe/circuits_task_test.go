package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/circuits"
	"loupe/circuits/table"
)

// wordPairs is a file of n pairs for the tiny decoder with words: the two prompts differ in the second word.
func wordPairs(t *testing.T, n int) string {
	t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"clean": "w%d w%d w7 w%d", "corrupted": "w%d w%d w7 w%d", "answers": ["w%d"], "wrongs": ["w%d"]}`+"\n", 5+i, 9+2*i, 11+i, 5+i, 30+3*i, 11+i, 40+i, 60+i)
	}
	return writeText(t, "pairs.jsonl", text.String())
}

func writeText(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCircuitsCommands goes the way of a user on a tiny decoder: scores whose sum is the true change, with a certificate; a circuit from the kept
// scores that reaches the faithfulness asked for; its judgement; patching, in which the last layer's last position carries the whole change.
func TestCircuitsCommands(t *testing.T) {
	dir, pairs, out := tinyWithWords(t), wordPairs(t, 4), t.TempDir()
	task := []string{"--pairs", pairs, "--backend", "go"}
	with := func(args ...string) []string { return append(append([]string{"circuits"}, args...), task...) }
	scores := filepath.Join(out, "scores.arrow")
	var a attributeReport
	ok(t, &a, with("attribute", dir, "--steps", "64", "--out", scores)...)
	if a.Rows != 4 || a.Seq != 4 || math.Abs(a.Sum-a.Change) > 0.02*math.Abs(a.Change) || a.Certificate.Err() != nil || len(a.Certificate.Checks) != 4 || len(a.Top) != 10 {
		t.Errorf("attribute: %+v", a)
	}
	kept, err := table.Read(scores)
	if err != nil || kept.Rows != 4 || kept.Pairs == "" || kept.ModelDigest == "" || kept.Certificate == nil {
		t.Fatalf("table %+v, %v", kept, err)
	}
	if again, err := kept.RowScores(); err != nil || math.Abs(again.Sum()-a.Sum) > 1e-4 {
		t.Errorf("scores of single prompts sum to %v, want %v: %v", again.Sum(), a.Sum, err)
	}
	var d, less discoverReport
	file := filepath.Join(out, "circuit.arrow")
	ok(t, &d, with("discover", dir, "--scores", scores, "--faithfulness", "0.9", "--resamples", "20", "--random", "5", "--out", file)...)
	if d.Fit.F < 0.9 || d.Edges == 0 || d.Faithful == nil || d.Stability <= 0 || d.Unstable != (d.Stability < circuits.StableJaccard) || len(d.Controls.Random) != 5 {
		t.Errorf("discover: %+v", d)
	}
	if d.Asked > 1 {
		ok(t, &less, with("discover", dir, "--scores", scores, "--edges", fmt.Sprint(d.Asked-1), "--resamples", "0", "--random", "0")...)
		if less.Fit.F >= 0.9 {
			t.Errorf("%d edges reach %v, so %d are not the fewest", d.Asked-1, less.Fit.F, d.Asked)
		}
	}
	var e evaluateReport
	ok(t, &e, with("evaluate", file, dir, "--ablation", "patching,zero", "--cuts", "2")...)
	first := e.Results[0]
	if len(e.Results) != 2 || math.Abs(first.F.Value-d.Fit.F) > 1e-4 || first.F.Low > first.F.Value || first.F.High < first.F.Value || len(first.Completeness) != 2 || len(first.Minimality) == 0 ||
		math.Abs(first.CPR.Value-first.Curve.CPR) > 1e-6 || math.Abs(first.CMD.Value-first.Curve.CMD) > 1e-6 || math.Abs(first.Curve.Points[9].F-1) > 1e-4 {
		t.Errorf("evaluate: %+v, curve %+v", first, first.Curve)
	}
	var acdc discoverReport
	ok(t, &acdc, with("discover", dir, "--method", "acdc", "--threshold", "0.01", "--random", "0")...)
	if acdc.Edges == 0 || acdc.Method != methodACDC {
		t.Errorf("acdc: %+v", acdc)
	}
	var c checkReport
	ok(t, &c, with("check", file, "--model", dir)...)
	if c.Model != "same" || c.Certificate.Err() != nil || c.Kept != d.Edges || c.Pruned != d.Edges {
		t.Errorf("check: %+v", c)
	}
	for _, direction := range []string{"noise", "denoise"} {
		var p patchReport
		effects := filepath.Join(out, direction+".arrow")
		ok(t, &p, with("patch", dir, "--site", "hook_resid_post", "--direction", direction, "--out", effects)...)
		last := p.Places[len(p.Places)-1]
		if last.Position != 3 || math.Abs(last.Share-1) > 1e-4 {
			t.Errorf("%s: the last residual stream carries %+v", direction, last)
		}
		n, err := table.ReadNodes(effects)
		if err != nil || len(n.Rows) != len(p.Places) || math.Abs(n.Rows[3].Effect-p.Places[3].Effect) > 1e-9 || n.Method != direction {
			t.Errorf("%s: %+v, %v", direction, n, err)
		}
	}
	var dry attributeReport
	ok(t, &dry, with("discover", dir, "--edges", "5", "--dry-run")...)
	if !dry.Dry || dry.Memory.Bytes == 0 || dry.Edges != 0 && dry.Edges != a.Edges {
		t.Errorf("dry run: %+v", dry)
	}
}

// TestCircuitsText: the printed forms say whether the edges add up and draw the map.
func TestCircuitsText(t *testing.T) {
	dir, pairs := tinyWithWords(t), wordPairs(t, 2)
	for _, c := range []struct {
		args string
		want []string
	}{
		{"attribute " + dir + " --steps 4 --certify=false --top 3", []string{"do they add up?", "true change", "EDGE"}},
		{"discover " + dir + " --edges 8 --resamples 4 --random 2 --method eap --certify=false", []string{"resampled prompts", "random circuits", "faithfulness", "greedy, 8 edges"}},
		{"patch " + dir, []string{"layer 0", "h0:", "MLP:", "per cent"}},
	} {
		code, out, errs := cli(t, append(append([]string{"circuits"}, strings.Fields(c.args)...), "--pairs", pairs, "--backend", "go")...)
		if code != 0 {
			t.Fatalf("%s: %s", c.args, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", c.args, want, out)
			}
		}
	}
}

// TestCircuitsTaskRefused: inputs from which nothing can be learned are refused with the thing, the place and the cure.
func TestCircuitsTaskRefused(t *testing.T) {
	dir, good := tinyWithWords(t), wordPairs(t, 2)
	pair := func(clean, corrupted, answer, wrong string) string {
		return writeText(t, "p.jsonl", fmt.Sprintf(`{"clean": %q, "corrupted": %q, "answers": [%q], "wrongs": [%q]}`+"\n", clean, corrupted, answer, wrong))
	}
	encoder := withWords(t, tinyFolder(t, "bert"))
	_, other := writeCircuit(t, 1)
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"attribute " + dir + " --pairs " + pair("w1 w2 w3", "w1 w2", "w4", "w5"), 1, []string{"3 tokens", "corrupted one 2"}},
		{"attribute " + dir + " --pairs " + pair("w1 w2", "w1 w3", "w4 w6", "w5"), 1, []string{"w4 w6", "2 tokens, not one"}},
		{"attribute " + dir + " --pairs " + pair("w1 w2", "w1 w2", "w4", "w5"), 1, []string{"the corrupted prompt is the clean one"}},
		{"attribute " + dir + " --pairs " + pair("w1 w2", "w1 w3", "w4", "w4"), 1, []string{"an answer and a wrong one"}},
		{"attribute " + dir + " --metric logit(answer)-logit(answer) --pairs " + good, 1, []string{"logit(answer)-logit(answer)", "same on the clean and the corrupted", "choose tokens"}},
		{"attribute " + dir + " --metric perplexity --pairs " + good, 2, []string{"--metric", "logit-diff, prob-diff"}},
		{"attribute " + dir + " --metric logit(answer)-* --pairs " + good, 2, []string{"--metric", "position"}},
		{"attribute " + dir + " --method gradient --certify=false --pairs " + good, 2, []string{"--method", "mask-ig"}},
		{"attribute " + encoder + " --metric cosine:last_hidden_state --pairs " + good, 1, []string{"bert", "no edges"}},
		{"attribute " + dir + " --pairs x.txt", 2, []string{".jsonl or .csv", "x.txt"}},
		{"patch " + dir + " --site hook_nothing --pairs " + good, 2, []string{"--site", "hook_nothing", "hook_resid_pre"}},
		{"patch " + dir + " --site ln1.hook_scale --pairs " + good, 1, []string{"cannot be patched", "hook_resid_pre"}},
		{"patch " + dir + " --direction up --pairs " + good, 2, []string{"noise or denoise"}},
		{"discover " + dir + " --pairs " + good, 2, []string{"--edges N", "--faithfulness"}},
		{"discover " + dir + " --select threshold --threshold 1e9 --method eap --certify=false --pairs " + good, 1, []string{"keeps no edge", "the largest |score| is"}},
		{"discover " + dir + " --edges 4 --ablation none --pairs " + good, 2, []string{"--ablation", "patching"}},
		{"discover " + dir + " --edges 4 --scores " + other + " --pairs " + good, 1, []string{"c.arrow", "2 layers of 4 heads"}},
		{"evaluate " + other + " " + dir + " --pairs " + good, 1, []string{"c.arrow", "2 layers of 4 heads"}},
	} {
		code, _, errs := cli(t, append(append([]string{"circuits"}, strings.Fields(c.args)...), "--backend", "go")...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s", c.args, code, c.code, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: %q does not say %q", c.args, errs, want)
			}
		}
	}
}
