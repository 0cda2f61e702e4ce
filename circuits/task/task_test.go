package task_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"loupe/circuits/task"
	"loupe/internal/graphtest"
	"loupe/probe/token"
)

func generate(t *testing.T, name, templates string, n int) []task.Prompt {
	t.Helper()
	cfg := task.DefaultConfig()
	cfg.Task, cfg.Templates, cfg.N = name, templates, n
	out, err := task.Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGenerate: prompts are distinct, filled, the same for one seed, and no template is of both kinds.
func TestGenerate(t *testing.T) {
	for _, name := range task.Names() {
		main, other := generate(t, name, task.TemplatesMain, 20), generate(t, name, task.TemplatesParaphrased, 20)
		if !reflect.DeepEqual(main, generate(t, name, task.TemplatesMain, 20)) {
			t.Errorf("%s: one seed gives two sets", name)
		}
		seen := map[string]bool{}
		for _, p := range append(main, other...) {
			if strings.ContainsAny(strings.ReplaceAll(p.Clean+p.Corrupted, "{}", ""), "{}") || seen[p.Clean] || p.Clean == p.Corrupted || len(p.Answers) == 0 || len(p.Wrongs) == 0 {
				t.Errorf("%s: prompt %+v", name, p)
			}
			seen[p.Clean] = true
		}
		for _, a := range main {
			if a.Paraphrase || slices.ContainsFunc(other, func(b task.Prompt) bool { return b.Template == a.Template || !b.Paraphrase }) {
				t.Errorf("%s: template %q is of both kinds", name, a.Template)
			}
		}
	}
}

// TestHand holds one prompt of each kind of answer against what the task means.
func TestHand(t *testing.T) {
	for _, p := range generate(t, "ioi", task.TemplatesAll, 32) {
		io, s := p.Answers[0], p.Wrongs[0]
		if strings.Count(p.Clean, io) != 1 || strings.Count(p.Clean, s) != 2 || strings.Count(p.Corrupted, io) != 2 || strings.Count(p.Corrupted, s) != 1 {
			t.Errorf("ioi: %q / %q answers %q", p.Clean, p.Corrupted, io)
		}
	}
	balance := map[string]int{}
	for _, p := range generate(t, "ioi", task.TemplatesMain, 32) {
		balance[p.Template]++
	}
	for template, n := range balance {
		if n != 8 {
			t.Errorf("%q has %d of 32 prompts", template, n)
		}
	}
	for _, p := range generate(t, "double-to-single", task.TemplatesMain, 8) {
		if strings.Count(p.Clean, p.Answers[0]) != 2 || strings.Count(p.Corrupted, p.Answers[0]) != 1 || strings.Count(p.Clean, p.Wrongs[0]) != 2 {
			t.Errorf("double-to-single: %q / %q", p.Clean, p.Corrupted)
		}
	}
	cfg := task.DefaultConfig()
	cfg.Corrupt = task.CorruptABC
	abc, err := task.Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range abc {
		if strings.Contains(p.Corrupted, p.Answers[0]) || strings.Contains(p.Corrupted, p.Wrongs[0]) {
			t.Errorf("abc: %q / %q", p.Clean, p.Corrupted)
		}
	}
	cfg.Task, cfg.Digits = "greater-than", 2
	two, err := task.Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range two {
		if len(p.Answers)+len(p.Wrongs) != 97 || slices.Min(p.Answers) <= slices.Max(p.Wrongs) {
			t.Errorf("greater-than: %q: %v / %v", p.Clean, p.Wrongs, p.Answers)
		}
	}
	for _, p := range generate(t, "induction", task.TemplatesMain, 8) {
		if strings.Count(p.Clean, p.Answers[0]) != 1 || strings.Contains(p.Clean, p.Wrongs[0]) {
			t.Errorf("induction: %q -> %q", p.Clean, p.Answers[0])
		}
	}
}

// TestAlign: SmolLM2's tokenizer keeps at least half of every task's prompts, with equal lengths and answers of one token.
func TestAlign(t *testing.T) {
	tok, err := token.Load(graphtest.Golden(t) + "/models/tokenizers/smollm2.tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range task.Names() {
		examples, rejected, err := task.Align(tok, generate(t, name, task.TemplatesAll, 32), task.AlignConfig{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Logf("%-16s %d aligned, %d rejected", name, len(examples), len(rejected))
		if len(examples) < 16 {
			t.Errorf("%s: %d of 32 align; first reason: %s", name, len(examples), rejected[0].Reason)
		}
		for _, e := range examples {
			if len(e.CleanIDs) != len(e.CorruptedIDs) || len(e.AnswerIDs) != len(e.Answers) {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
	start := int32(0)
	got, _, err := task.Align(tok, generate(t, "ioi", task.TemplatesMain, 4), task.AlignConfig{Start: &start, Keep: 2})
	if err != nil || len(got) != 2 || got[0].CleanIDs[0] != 0 || got[0].CorruptedIDs[0] != 0 {
		t.Errorf("start token: %v, %v", got, err)
	}
	for reason, p := range map[string]task.Prompt{
		"tokens, the corrupted one": {Clean: "a b", Corrupted: "a", Answers: []string{" c"}},
		"is the clean one":          {Clean: "a b", Corrupted: "a b", Answers: []string{" c"}},
		"tokens, not one":           {Clean: "a b", Corrupted: "a c", Answers: []string{" c d"}},
		"constant":                  {Clean: "a b", Corrupted: "a c", Answers: []string{" c"}, Wrongs: []string{" c"}},
		"no answer":                 {Clean: "a b", Corrupted: "a c"},
	} {
		if _, _, err := task.Align(tok, []task.Prompt{p}, task.AlignConfig{}); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v", reason, err)
		}
	}
}

func TestRead(t *testing.T) {
	want := []task.Prompt{{Task: "mine", Clean: "a, b", Corrupted: "a, c", Answers: []string{" x", " y"}, Wrongs: []string{" z"}}}
	got, err := task.ReadJSONL(strings.NewReader("\n" + `{"task":"mine","clean":"a, b","corrupted":"a, c","answers":[" x"," y"],"wrongs":[" z"]}` + "\n"))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("jsonl: %+v, %v", got, err)
	}
	got, err = task.ReadCSV(strings.NewReader("task,clean,corrupted,answers,wrongs\nmine,\"a, b\",\"a, c\", x| y, z\n"))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("csv: %+v, %v", got, err)
	}
	for _, bad := range []string{``, `{"clean":"a"}`, `{"claen":"a"}`, `{"clean":"a","corrupted":"b","answers":["x"]} more`, `{"clean":"a","corrupted":"b","answers":["x"],"wrongs":["x"]}`} {
		if _, err := task.ReadJSONL(strings.NewReader(bad)); err == nil {
			t.Errorf("jsonl %q is no error", bad)
		}
	}
	for _, bad := range []string{"", "clean,corrupted\na,b\n", "clean,corrupted,answers,x\n", "clean,corrupted,answers\n", "clean,corrupted,answers\na,b\n", "clean,corrupted,answers\na,b,\n"} {
		if _, err := task.ReadCSV(strings.NewReader(bad)); err == nil {
			t.Errorf("csv %q is no error", bad)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for want, change := range map[string]func(*task.Config){
		"did you mean": func(c *task.Config) { c.Task = "io" },
		"use 1 or":     func(c *task.Config) { c.N = 0 },
		"templates":    func(c *task.Config) { c.Templates = "x" },
		"corrupt":      func(c *task.Config) { c.Corrupt = "x" },
		"digits":       func(c *task.Config) { c.Digits = 3 },
		"lower n":      func(c *task.Config) { c.Task, c.N = "capital-country", 10000 },
	} {
		cfg := task.DefaultConfig()
		change(&cfg)
		if _, err := task.Generate(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"clean":"a","corrupted":"b","answers":["x"]}`)
	f.Add("clean,corrupted,answers\na,b,c|d\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, read := range []func(string) ([]task.Prompt, error){
			func(s string) ([]task.Prompt, error) { return task.ReadJSONL(strings.NewReader(s)) },
			func(s string) ([]task.Prompt, error) { return task.ReadCSV(strings.NewReader(s)) },
		} {
			got, err := read(s)
			if err == nil && len(got) == 0 {
				t.Error("no prompt and no error")
			}
		}
	})
}
