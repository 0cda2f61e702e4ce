package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/npy"
	"loupe/vectors"
)

// tinyWithWords is a folder with a tiny decoder and a tokenizer of its vocabulary: the words w0, w1, ...
func tinyWithWords(t *testing.T) string {
	t.Helper()
	return withWords(t, tinyFolder(t, "llama-tied"))
}

// withWords is a copy of a model's folder with a tokenizer of its vocabulary: the words w0, w1, ...
func withWords(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	var config struct {
		Vocab int `json:"vocab_size"`
	}
	for _, name := range []string{"config.json", "model.safetensors"} {
		raw, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "config.json" {
			if err := json.Unmarshal(raw, &config); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	vocab := map[string]int{}
	for i := range config.Vocab {
		vocab[fmt.Sprintf("w%d", i)] = i
	}
	raw, err := json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": []any{}, "normalizer": nil, "pre_tokenizer": map[string]any{"type": "WhitespaceSplit"}, "post_processor": nil, "decoder": nil,
		"model": map[string]any{"type": "WordLevel", "vocab": vocab, "unk_token": "w0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeSvec writes a control vector for the first two layers of the tiny decoder and returns its path.
func writeSvec(t *testing.T, scale float64) string {
	t.Helper()
	c := &vectors.ControlVector{ModelHint: "llama", Directions: map[int][]float32{}}
	for l := range 2 {
		for i := range 36 { // its width
			c.Directions[l] = append(c.Directions[l], float32(scale*math.Sin(float64(i*(l+2)+1))))
		}
	}
	path := filepath.Join(t.TempDir(), "v.svec")
	if err := c.WriteSvec(path, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVectorsSteer: texts without and with vectors; strengths of two files add up, so that opposite ones leave the plain text; a
// condition that never holds leaves it too; the dose-response table has an interval for everything.
func TestVectorsSteer(t *testing.T) {
	dir, v := tinyWithWords(t), writeSvec(t, 1)
	steer := func(args ...string) []steeredText {
		t.Helper()
		code, out, errs := cli(t, append([]string{"vectors", "steer", dir, "w5 w9 w7", "w4 w3", "--max-new", "5", "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		var rows []steeredText
		if err := json.Unmarshal([]byte(out), &rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	moved := steer("--vector", v+":6")
	if len(moved) != 2 || moved[0].Plain == moved[0].Steered && moved[1].Plain == moved[1].Steered {
		t.Errorf("strength 6 changes nothing: %+v", moved)
	}
	for _, r := range steer("--vector", v+":6", "--vector", v+":-6") {
		if r.Plain != r.Steered {
			t.Errorf("opposite strengths: %+v", r)
		}
	}
	probe := filepath.Join(t.TempDir(), "probe.npy")
	if err := npy.Write(probe, npy.F32([]int{36}, slices.Repeat([]float32{1}, 36))); err != nil {
		t.Fatal(err)
	}
	for _, r := range steer("--vector", v+":6", "--when", "blocks.0.hook_resid_pre="+probe+":1e6") {
		if r.Plain != r.Steered {
			t.Errorf("a condition that never holds: %+v", r)
		}
	}
	code, out, errs := cli(t, "vectors", "steer", dir, "w5 w9 w7", "w4 w3", "w8", "--max-new", "4", "--vector", v, "--layers", "1", "--doses=-20,0,20", "--concept", "w7,w11", "--against", "w20", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var table doseTable
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		t.Fatal(err)
	}
	if len(table.Doses) != 3 || len(table.Texts) != 3 || len(table.Texts[2]) != 3 || table.Doses[1].Strength != 0 || table.Doses[0].Perplexity.N != 3 || table.Doses[2].Perplexity.Value < 1 {
		t.Errorf("%+v", table)
	}
}

// TestVectorsSteerUsage: what cannot be meant is refused before a model is loaded.
func TestVectorsSteerUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"vectors steer", "name a model"}, {"vectors steer m p", "--vector is missing"}, {"vectors steer m p --vector a.svec --mode push", "use add, ablate or clamp"},
		{"vectors steer m p --vector a.svec --doses 0,1", "--concept"}, {"vectors steer m p --vector a.svec --doses 1,0 --concept x", "ascending"},
		{"vectors steer m p --vector a.svec --prompt-only --output-only", "nothing would be steered"}, {"vectors steer m p --vector a.svec --concept x", "add --doses"},
		{"vectors lens m p --train a --tuned b", "use one of them"}, {"vectors lens m p --baseline x", "baseline"},
	} {
		code, _, errs := cli(t, strings.Fields(c.args)...)
		if code != 2 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d, %q", c.args, code, errs)
		}
	}
	if got, err := parseLayers("3,8-10"); err != nil || !slices.Equal(got, []int{3, 8, 9, 10}) {
		t.Errorf("layers %v, %v", got, err)
	}
	for _, bad := range []string{"x", "5-3", "-1", "1,,2"} {
		if _, err := parseLayers(bad); err == nil {
			t.Errorf("layers %q were accepted", bad)
		}
	}
	for arg, want := range map[string]float64{"a.svec": 1, "a.svec:-2.5": -2.5, "c:/b/a.svec": 1} {
		if _, got, err := cutStrength(arg); err != nil || got != want {
			t.Errorf("%s: strength %v, %v", arg, got, err)
		}
	}
	for _, bad := range []string{"a.svec:x", "a.svec:NaN"} {
		if _, _, err := cutStrength(bad); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	if _, err := parseVectors([]string{"a.txt"}, nil, ""); err == nil {
		t.Error("a.txt is no vector")
	}
}

// TestVectorsLens: the last layer has no divergence from itself, the parts of the attribution add up to the logit, every token has
// its attribution, and a trained lens reads nearer to the final layer on held-out texts and is read back.
func TestVectorsLens(t *testing.T) {
	dir := tinyWithWords(t)
	corpus, lens := filepath.Join(t.TempDir(), "corpus.txt"), filepath.Join(t.TempDir(), "lens")
	var text strings.Builder
	for i := range 60 {
		for j := range 12 {
			fmt.Fprintf(&text, "w%d ", (i*i+7*j*(i+1))%90+3)
		}
		text.WriteString("\n\n")
	}
	if err := os.WriteFile(corpus, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) lensResult {
		t.Helper()
		code, out, errs := cli(t, append([]string{"vectors", "lens", dir, "w5 w9 w7 w9", "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		var r lensResult
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := read("--attribution", "--attention", "--prompt-attribution", "--against", "w20")
	last := r.Layers[len(r.Layers)-1]
	if last.KL > 1e-9 || len(last.Top) != 5 || last.Top[0].Token != r.Target || r.Against != "w20" {
		t.Errorf("last layer %+v, target %q against %q", last, r.Target, r.Against)
	}
	sum := 0.0
	for _, p := range r.Attribution.Parts {
		sum += p.Value
	}
	if math.Abs(sum-r.Attribution.Target) > 1e-4 || len(r.PromptParts) != 4 || math.Abs(r.PromptGaps.Target-r.Attribution.Target) > 1e-4 || len(r.Attention) == 0 {
		t.Errorf("parts sum to %v, target %v and %v", sum, r.Attribution.Target, r.PromptGaps.Target)
	}
	trained := read("--layers", "0", "--train", lens, "--corpus-path", corpus, "--texts", "40", "--length", "12", "--steps", "60", "--batch", "64", "--rate", "5e-3")
	if len(trained.Trained) != 1 || trained.Trained[0].Gain.Low <= 0 {
		t.Errorf("training gains %+v", trained.Trained)
	}
	again := read("--layers", "0", "--tuned", lens)
	if len(again.Layers) != 2 || again.Layers[1].Lens != "tuned" || math.Abs(again.Layers[1].KL-trained.Layers[1].KL) > 1e-4 {
		t.Errorf("read back %+v, trained %+v", again.Layers, trained.Layers)
	}
}

// TestParseVectors: the card of a fitted vector gives its site and first direction, for the model that it is of alone; control vectors
// of several files are added layer by layer.
func TestParseVectors(t *testing.T) {
	saved := vectors.Saved{Directions: mat.NewDense(2, 3, []float64{1, 2, 3, 4, 5, 6})}
	saved.Name, saved.Method, saved.Site, saved.Layer, saved.D, saved.Model.Digest = "v", "lda", "blocks.1.hook_resid_post", 1, 3, "abc"
	card, err := saved.Save(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseVectors([]string{card + ":2.5"}, nil, "abc")
	if err != nil || len(got) != 1 || got[0].Strength != 2.5 || got[0].Site.String() != "blocks.1.hook_resid_post" || !slices.Equal(got[0].Vector, []float64{1, 2, 3}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseVectors([]string{card}, nil, "def"); !errors.Is(err, vectors.ErrOther) {
		t.Errorf("a vector of another model: %v", err)
	}
	if _, err := parseVectors([]string{card}, []int{1}, "abc"); err == nil {
		t.Error("--layers was accepted for a vector of one site")
	}
	a, b := writeSvec(t, 1), writeSvec(t, 10)
	if got, err = parseVectors([]string{a + ":2", b + ":-0.1"}, []int{1}, ""); err != nil || len(got) != 1 || got[0].Site.Layer != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, x := range got[0].Vector {
		if want := math.Sin(float64(i*3 + 1)); math.Abs(x-want) > 1e-6 {
			t.Errorf("entry %d is %v, want twice a file less a tenth of ten times it, %v", i, x, want)
		}
	}
}
