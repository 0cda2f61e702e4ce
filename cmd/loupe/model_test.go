package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/npy"
	"loupe/internal/safetensors"
	"loupe/probe/model"
	"loupe/probe/token"
)

// cli runs a command line and returns what it printed.
func cli(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(context.Background(), args, &o, &e)
	return code, o.String(), e.String()
}

func tinyFolder(t *testing.T, name string) string {
	return filepath.Join(graphtest.Golden(t), "models", "tiny", name)
}

func TestModelInfo(t *testing.T) {
	code, out, errs := cli(t, "model", "info", tinyFolder(t, "clip-quickgelu"), "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var info modelInfo
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		t.Fatal(err)
	}
	if info.Spec.Family != "clip_text_model" || info.Spec.Decoder || info.Parameters != info.Stored["F32"] || len(info.Digest) != 64 || info.Bytes < int64(4*info.Parameters) {
		t.Errorf("%+v", info)
	}
	if info.Tokenizer != nil || !strings.Contains(info.NoTokens, "tokenizer.json") {
		t.Errorf("a folder without a tokenizer gives %+v, %q", info.Tokenizer, info.NoTokens)
	}
	at := slices.IndexFunc(info.Sites, func(s siteInfo) bool { return s.Name == "text_embeds" })
	if at < 0 || len(info.Sites[at].Shape) != 2 || info.Sites[at].Shape[0] != "b" {
		t.Errorf("sites %v", info.Sites)
	}
	for _, site := range info.Sites {
		if strings.HasPrefix(site.Name, "blocks.") && strings.Contains(site.Name, "mlp.hook_pre_linear") {
			t.Error("a model without a gated MLP has a pre_linear site")
		}
	}
	if code, out, _ = cli(t, "model", "info", graphtest.Model(t, "minilm")); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{"bert encoder", "mean, normalised (sentence)", "512 positions", "F32 22713216", "30522 tokens", "blocks.{i}.hook_normalized_resid_post", "[b 12 t s]"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestModelTokens(t *testing.T) {
	graphtest.Model(t, "minilm")
	code, out, errs := cli(t, "model", "tokens", "minilm", "Hello, wörld", "x", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var got []tokensOf
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !slices.Equal(got[0].IDs, []int32{101, 7592, 1010, 2088, 102}) || got[0].Offsets[3] != [2]int{7, 12} || !got[0].Special[0] || got[0].Special[1] {
		t.Errorf("%+v", got)
	}
	if _, out, _ = cli(t, "model", "tokens", "minilm", "x", "--no-special"); strings.Contains(out, "CLS") || !strings.Contains(out, `"x": 1 tokens`) {
		t.Errorf("with --no-special: %s", out)
	}
	graphtest.Model(t, "smollm2")
	code, out, errs = cli(t, "model", "tokens", "smollm2", "Hi", "Hello", "Bye", "--chat", "--system", "Be kind.")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	want := `"<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"`
	if !strings.HasPrefix(out, want) || strings.Count(out, `"<|im_start|>"`) != 5 {
		t.Errorf("chat:\n%s", out)
	}
}

// TestModelGenerate runs the published decoder: plain, cut at a stop string, and with vectors added.
func TestModelGenerate(t *testing.T) {
	graphtest.Model(t, "smollm2")
	if graphtest.IsGo(t) {
		t.Skip("minutes on the pure Go backend")
	}
	generate := func(args ...string) generation {
		t.Helper()
		code, out, errs := cli(t, append([]string{"model", "generate", "smollm2", "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		var g generation
		if err := json.Unmarshal([]byte(out), &g); err != nil {
			t.Fatal(err)
		}
		return g
	}
	ask := []string{"--chat", "What is the capital of France?", "--max-new", "16"}
	plain := generate(ask...)
	if plain.Text != "The capital of France is Paris." || !plain.Stopped || plain.IDs[len(plain.IDs)-1] != 2 {
		t.Errorf("%+v", plain)
	}
	vector := filepath.Join(t.TempDir(), "v.npy")
	v := make([]float32, 576)
	for i := range v {
		v[i] = float32(i%7) - 3
	}
	if err := npy.Write(vector, npy.F32([]int{1, 576}, v)); err != nil {
		t.Fatal(err)
	}
	// a vector of strength 0 changes nothing, and the stop string ends the same text early
	cut := generate(append(ask, "--edit", "blocks.12.hook_resid_post="+vector+":0", "--stop", "France is")...)
	if cut.Text != "The capital of " || !cut.Stopped {
		t.Errorf("strength 0, cut at a stop string: %+v", cut)
	}
	if steered := generate(append(ask, "--edit", "blocks.12.hook_resid_post="+vector+":4", "--max-new", "4")...); slices.Equal(steered.IDs, plain.IDs[:4]) {
		t.Error("a strong vector changes nothing")
	}
}

func TestModelCheck(t *testing.T) {
	graphtest.Backend(t)
	folder := tinyFolder(t, "bert")
	golden := filepath.Join(folder, "golden.safetensors")
	code, out, errs := cli(t, "model", "check", folder, folder, "--json")
	var cert model.Certificate
	if err := json.Unmarshal([]byte(out), &cert); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v: %s", code, err, errs)
	}
	if !cert.OK || len(cert.Comparisons) < 10 || len(cert.Unchecked) != 0 {
		t.Errorf("%+v", cert)
	}

	// one value off by 1e-3, and one tensor that is no site
	file, err := safetensors.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var tensors []safetensors.Tensor
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		if !strings.HasPrefix(name, "nopad.") {
			continue
		}
		data, err := file.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		x := safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: data}
		if name == "nopad.last_hidden_state" {
			values, err := file.Float32(name)
			if err != nil {
				t.Fatal(err)
			}
			values[5] += 1e-3
			x = safetensors.F32(name, info.Shape, values)
		}
		tensors = append(tensors, x)
	}
	tensors = append(tensors, safetensors.F32("nopad.hook_nothing", []int{1}, []float32{0}))
	bad := filepath.Join(t.TempDir(), "bad.safetensors")
	if err := safetensors.Write(bad, tensors, nil); err != nil {
		t.Fatal(err)
	}
	code, out, errs = cli(t, "model", "check", folder, bad)
	if code != 1 || !strings.Contains(errs, "differs from") || !strings.Contains(out, "1 beyond tolerance, 1 not compared") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	for _, line := range strings.Split(out, "\n") {
		failed := strings.HasPrefix(line, "nopad.last_hidden_state") || strings.HasPrefix(line, "nopad.hook_nothing")
		if strings.HasPrefix(line, "nopad.") && strings.Contains(line, "FAIL") != failed {
			t.Errorf("line %q", line)
		}
	}
}

func TestModelCommandErrors(t *testing.T) {
	empty := t.TempDir()
	text := filepath.Join(empty, "v.txt")
	if err := os.WriteFile(text, []byte("1 2 3"), 0o644); err != nil {
		t.Fatal(err)
	}
	folder := tinyFolder(t, "gpt2")
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"no sub-command argument", []string{"model", "info"}, 2, []string{"usage: loupe model info REF"}},
		{"unknown sub-command", []string{"model", "inform", "x"}, 2, []string{"usage"}},
		{"no text", []string{"model", "tokens", "minilm"}, 2, []string{"at least one text", "usage"}},
		{"bad reference", []string{"model", "info", "hf:../x"}, 2, []string{"hf:org/name"}},
		{"no such folder", []string{"model", "info", filepath.Join(empty, "none")}, 1, []string{"none", "minilm"}},
		{"folder without a model", []string{"model", "info", empty}, 1, []string{"config.json", "Hugging Face"}},
		{"unknown dtype", []string{"model", "check", folder, folder, "--dtype", "float16"}, 2, []string{"float16", "bfloat16"}},
		{"no golden file", []string{"model", "check", folder, empty}, 2, []string{"golden.safetensors", "make_golden.py"}},
		{"golden file missing", []string{"model", "check", folder, filepath.Join(empty, "none")}, 2, []string{"make_golden.py"}},
		{"no tokenizer", []string{"model", "tokens", folder, "x"}, 1, []string{"tokenizer.json"}},
		{"no new tokens", []string{"model", "generate", folder, "x", "--max-new", "0"}, 2, []string{"--max-new 0"}},
		{"top-k of the likeliest", []string{"model", "generate", folder, "x", "--top-k", "3"}, 2, []string{"--temperature"}},
		{"negative temperature", []string{"model", "generate", folder, "x", "--temperature", "-1"}, 2, []string{"--temperature -1"}},
		{"probability above one", []string{"model", "generate", folder, "x", "--temperature", "1", "--top-p", "2"}, 2, []string{"--top-p 2"}},
		{"system without chat", []string{"model", "generate", folder, "x", "--system", "y"}, 2, []string{"--chat"}},
		{"empty stop", []string{"model", "generate", folder, "x", "--stop", ""}, 2, []string{"--stop"}},
		{"edit without a vector", []string{"model", "generate", folder, "x", "--edit", "hook_embed"}, 2, []string{"SITE=FILE:STRENGTH"}},
		{"edit without a strength", []string{"model", "generate", folder, "x", "--edit", "hook_embed=v.npy"}, 2, []string{"SITE=FILE:STRENGTH"}},
		{"edit of a strength in words", []string{"model", "generate", folder, "x", "--edit", "hook_embed=v.npy:much"}, 2, []string{"much"}},
		{"edit of an unknown site", []string{"model", "generate", folder, "x", "--edit", "blocks.0.resid_pots=v.npy:1"}, 2, []string{"nearest", "hook_resid_post"}},
		{"edit with a text file", []string{"model", "generate", folder, "x", "--edit", "hook_embed=" + text + ":1"}, 2, []string{"v.txt", ".npy"}},
		{"edit with no file", []string{"model", "generate", folder, "x", "--edit", "hook_embed=none.npy:1"}, 1, []string{"none.npy"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errs := cli(t, test.args...)
			if code != test.code || out != "" {
				t.Errorf("exit code %d, want %d; stdout %q", code, test.code, out)
			}
			for _, want := range test.want {
				if !strings.Contains(errs, want) {
					t.Errorf("the error %q does not say %q", errs, want)
				}
			}
		})
	}
}

func TestAdditionFitsTheModel(t *testing.T) {
	info, err := model.Inspect(tinyFolder(t, "gpt2"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := info.Spec
	for _, test := range []struct {
		site  string
		width int
		want  string
	}{
		{"blocks.0.hook_resid_post", s.DModel, ""},
		{"hook_embed", s.DModel, ""},
		{"blocks.0.attn.hook_z", s.DHead, ""},
		{"blocks.0.hook_resid_post", s.DModel + 1, "components"},
		{"blocks.99.hook_resid_post", s.DModel, "layer 99"},
		{"last_hidden_state", s.DModel, "inside the blocks"},
	} {
		site, err := model.ParseSite(test.site)
		if err != nil {
			t.Fatal(err)
		}
		a := addition{site, make([]float32, test.width), 2}
		err = a.check(s)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.site, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, %d components: %v", test.site, test.width, err)
		}
	}
	z := addition{model.Site{Kind: model.Z}, make([]float32, s.DHead), 2}
	if dims := z.values(s, 3, 5)["strength"].Shape().Dimensions; !slices.Equal(dims, []int{1, 3, 5, s.Heads}) {
		t.Errorf("strength at hook_z has shape %v", dims)
	}
}

// TestTextStream feeds the tokens of texts one at a time: the pieces join to the text, no piece holds half a character
// and what a stop string ends is cut before it.
func TestTextStream(t *testing.T) {
	tokens, err := token.Load(filepath.Join(graphtest.Golden(t), "models", "tokenizers", "smollm2.tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, prompt, text string
		stops              []string
		want               string
	}{
		{"words", "Once upon", " a time there was", nil, " a time there was"},
		{"characters of many bytes", "Note:", " 🦜🏽 größer 日本語 ✓", nil, " 🦜🏽 größer 日本語 ✓"},
		{"stop inside a word", "a", " green parrot speaks", []string{"rot"}, " green par"},
		{"stop across tokens", "a", " one two three four", []string{"two three"}, " one "},
		{"stop that never comes", "a", " one two", []string{"two three"}, " one two"},
		{"first of two stops", "a", " one two three", []string{"three", " two"}, " one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			prompt, err := tokens.Encode(test.prompt, token.EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			more, err := tokens.Encode(test.text, token.EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := newTextStream(tokens, prompt.IDs, test.stops)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, id := range more.IDs {
				piece, err := s.next(id)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(piece, replacement) {
					t.Errorf("piece %q is cut inside a character", piece)
				}
				got.WriteString(piece)
				if s.ended {
					break
				}
			}
			rest, err := s.rest()
			if err != nil {
				t.Fatal(err)
			}
			if got.WriteString(rest); got.String() != test.want {
				t.Errorf("got %q, want %q", got.String(), test.want)
			}
		})
	}
	s, err := newTextStream(tokens, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	parrot, err := tokens.Encode("🦜", token.EncodeOptions{})
	if err != nil || len(parrot.IDs) < 2 {
		t.Fatalf("%v: the character must need several tokens", err)
	}
	piece, err := s.next(parrot.IDs[0])
	if piece != "" || err != nil {
		t.Errorf("the first part of a character gives %q, %v", piece, err)
	}
	if rest, err := s.rest(); rest != replacement || err != nil {
		t.Errorf("an unfinished character ends as %q, %v", rest, err)
	}
}
