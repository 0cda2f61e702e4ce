package task

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"loupe/internal/config"
)

// Prompt is a clean and a corrupted prompt. Answers are the next words after the clean one, each with its leading space where there
// is one; Wrongs are what the corrupted one asks for, or what must not come.
type Prompt struct {
	Task       string   `json:"task"`
	Template   string   `json:"template"` // as written
	Paraphrase bool     `json:"paraphrase,omitempty"`
	Clean      string   `json:"clean"`
	Corrupted  string   `json:"corrupted"`
	Answers    []string `json:"answers"`
	Wrongs     []string `json:"wrongs"`
}

// Kinds of templates.
const (
	TemplatesMain        = "main"
	TemplatesParaphrased = "paraphrased"
	TemplatesAll         = "all"
)

// Corruptions of IOI.
const (
	CorruptSwap = "swap" // the repeated name becomes the other one: the answer flips
	CorruptABC  = "abc"  // three other names: nothing is repeated
)

// Config says which prompts are generated.
type Config struct {
	Task      string `json:"task" doc:"name of the task" enum:"capital-country,colour-object,docstring,double-to-single,gender,greater-than,induction,ioi,subject-verb"`
	N         int    `json:"n" doc:"prompts"`
	Seed      int64  `json:"seed" doc:"seed of words and templates"`
	Templates string `json:"templates" doc:"which templates are filled; the paraphrases test a circuit that was found on the main ones" enum:"main,paraphrased,all"`
	Corrupt   string `json:"corrupt" doc:"ioi: swap the repeated name for the other, or put three other names" enum:"swap,abc"`
	Digits    int    `json:"digits" doc:"greater-than: digits of a token of the tokenizer; 1 asks for the decade alone"`
}

// DefaultConfig asks for 64 prompts of IOI.
func DefaultConfig() Config {
	return Config{Task: "ioi", N: 64, Seed: 1, Templates: TemplatesMain, Corrupt: CorruptSwap, Digits: 1}
}

// builder draws one prompt of a template.
type builder struct {
	name             string
	main, paraphrase []string
	fill             func(r *rand.Rand, template string, cfg Config) Prompt
}

func builders() []builder {
	return []builder{capitalCountry(), colourObject(), docstring(), doubleToSingle(), gender(), greaterThan(), induction(), ioi(), subjectVerb()}
}

// Names lists the tasks.
func Names() []string {
	var out []string
	for _, b := range builders() {
		out = append(out, b.name)
	}
	return out
}

// Validate checks the settings.
func (c Config) Validate() error {
	if !slices.Contains(Names(), c.Task) {
		if near, ok := config.Nearest(c.Task, Names()); ok {
			return fmt.Errorf("task %q is unknown; did you mean %q?", c.Task, near)
		}
		return fmt.Errorf("task %q is unknown; use one of %s", c.Task, strings.Join(Names(), ", "))
	}
	if c.N < 1 {
		return fmt.Errorf("n is %d; use 1 or more", c.N)
	}
	if !slices.Contains([]string{TemplatesMain, TemplatesParaphrased, TemplatesAll}, c.Templates) {
		return fmt.Errorf("templates is %q; use main, paraphrased or all", c.Templates)
	}
	if c.Corrupt != CorruptSwap && c.Corrupt != CorruptABC {
		return fmt.Errorf("corrupt is %q; use swap or abc", c.Corrupt)
	}
	if c.Digits != 1 && c.Digits != 2 {
		return fmt.Errorf("digits is %d; use 1 for tokenizers that split numbers into digits, 2 for those with tokens of two", c.Digits)
	}
	return nil
}

// Generate draws distinct prompts, templates in turn, by seed.
func Generate(cfg Config) ([]Prompt, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	at := slices.Index(Names(), cfg.Task)
	b := builders()[at]
	type kind struct {
		template   string
		paraphrase bool
	}
	var templates []kind
	for _, t := range b.main {
		if cfg.Templates != TemplatesParaphrased {
			templates = append(templates, kind{t, false})
		}
	}
	for _, t := range b.paraphrase {
		if cfg.Templates != TemplatesMain {
			templates = append(templates, kind{t, true})
		}
	}
	r := rand.New(rand.NewPCG(uint64(cfg.Seed), uint64(at)))
	seen := map[string]bool{}
	var out []Prompt
	for tries := 0; len(out) < cfg.N; tries++ {
		if tries > 100*cfg.N {
			return nil, fmt.Errorf("task: %s has only about %d distinct prompts of %s templates, %d are asked for; lower n", cfg.Task, len(out), cfg.Templates, cfg.N)
		}
		k := templates[len(out)%len(templates)]
		p := b.fill(r, k.template, cfg)
		if seen[p.Clean] {
			continue
		}
		seen[p.Clean] = true
		p.Task, p.Template, p.Paraphrase = cfg.Task, k.template, k.paraphrase
		out = append(out, p)
	}
	return out, nil
}

// check refuses a prompt that asks for nothing.
func (p Prompt) check() error {
	switch {
	case p.Clean == "" || p.Corrupted == "":
		return errors.New("clean or corrupted is empty")
	case len(p.Answers) == 0:
		return errors.New("there is no answer")
	}
	for _, a := range p.Answers {
		if slices.Contains(p.Wrongs, a) {
			return fmt.Errorf("%q is an answer and a wrong one: the metric would be constant", a)
		}
	}
	return nil
}

// pick draws distinct elements.
func pick(r *rand.Rand, from []string, n int) []string {
	out := make([]string, n)
	for i, at := range r.Perm(len(from))[:n] {
		out[i] = from[at]
	}
	return out
}

// fill puts values in place of {keys}.
func fill(template string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		template = strings.ReplaceAll(template, "{"+pairs[i]+"}", pairs[i+1])
	}
	return template
}

func spaced(words ...string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = " " + w
	}
	return out
}

// nth fills a template with value in place of the n-th {key}, then the rest.
func nth(template, key string, n int, value string, pairs ...string) string {
	at, mark := 0, "{"+key+"}"
	for range n {
		next := strings.Index(template[at:], mark)
		if next < 0 {
			return fill(template, pairs...)
		}
		at += next + len(mark)
	}
	return fill(template[:at-len(mark)], pairs...) + value + fill(template[at:], pairs...)
}
