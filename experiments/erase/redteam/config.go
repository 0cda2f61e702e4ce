package redteam

import (
	"errors"
	"fmt"
	"slices"

	"loupe/experiments/erase/attack"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/study"
)

// Kind is the kind of its configuration file.
const Kind = "erase-attack"

// Config says which erasures are attacked and how.
type Config struct {
	study.Base
	Model   string            `json:"model" doc:"text encoder: minilm, smollm2, a folder, or hf:org/name@rev"`
	Pool    string            `json:"pool" doc:"which states are a text's embedding; empty: what the model's kind pools" enum:",mean,cls,eos,last"`
	Task    method.TaskConfig `json:"task" doc:"what is erased; each concept of erase by itself"`
	Prompts int               `json:"prompts" doc:"held-out prompts of each concept that are attacked; 0: all"`
	Methods []compare.Method  `json:"methods" doc:"that are fitted and attacked"`
	Edits   []string          `json:"edits" doc:"folders of saved edits of this model (loupe erase fit) that are attacked"`
	Attacks []Attack          `json:"attacks" doc:"what they are attacked with"`
	Modes   []string          `json:"modes" doc:"adaptive: found on the edited encoder; static: found on the original one and then tried"`
}

// Attack is one attack with its settings.
type Attack struct {
	Name     string   `json:"name" doc:"random-tokens (control), paraphrase, implicit, insertion, ring-a-bell, target-states, inverse, p4d, unlearndiff, soft-prompt, learned-embedding"`
	Settings []string `json:"settings" doc:"key=value pairs that differ from the attack's defaults"`
}

// resolve finds the attack with its settings.
func (a Attack) resolve() (attack.Attack, any, error) {
	found, err := attack.Find(a.Name)
	if err != nil {
		return found, nil, err
	}
	kind := config.Kind{Name: "attack " + a.Name, New: found.Config}
	c, err := config.Load([]config.Kind{kind}, config.Input{Kind: kind.Name, Set: a.Settings})
	if err != nil {
		return found, nil, fmt.Errorf("settings of %s: %w", a.Name, err)
	}
	return found, c.Value, nil
}

// DefaultConfig attacks UCE's erasure of a dog, beside doing nothing, with every attack.
func DefaultConfig() *Config {
	c := &Config{Base: study.Base{Name: "erase-attack", Seed: 1}, Model: "minilm", Task: method.DefaultTask(), Modes: []string{attack.ModeAdaptive}}
	c.Methods = []compare.Method{{Name: "nothing"}, {Name: "uce"}}
	for _, a := range attack.All() {
		c.Attacks = append(c.Attacks, Attack{Name: a.Name})
	}
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if c.Name == "" || c.Seed < 0 || c.Model == "" || c.Prompts < 0 {
		return fmt.Errorf("name is %q, seed %d, model %q, prompts %d; name run and model, and use numbers from 0 on", c.Name, c.Seed, c.Model, c.Prompts)
	}
	if len(c.Methods)+len(c.Edits) == 0 || len(c.Attacks) == 0 || len(c.Modes) == 0 {
		return errors.New("methods and edits, attacks or modes are empty; list at least one of each")
	}
	if len(c.Task.Erase) == 0 {
		return errors.New("task.erase is empty; name the concepts that are erased and attacked, each by itself")
	}
	for _, mode := range c.Modes {
		if mode != attack.ModeAdaptive && mode != attack.ModeStatic {
			return fmt.Errorf("modes has %q; use %s or %s", mode, attack.ModeAdaptive, attack.ModeStatic)
		}
	}
	var labels []string
	for i, m := range c.Methods {
		if _, _, err := m.Resolve(); err != nil {
			return fmt.Errorf("methods.%d: %w", i, err)
		}
		labels = append(labels, label(m))
	}
	for _, name := range slices.Concat(labels, c.Edits) {
		if n := count(slices.Concat(labels, c.Edits), name); n > 1 {
			return fmt.Errorf("%s is attacked %d times; give labels", name, n)
		}
	}
	for i, a := range c.Attacks {
		if _, _, err := a.resolve(); err != nil {
			return fmt.Errorf("attacks.%d: %w", i, err)
		}
		if slices.ContainsFunc(c.Attacks[:i], func(o Attack) bool { return o.Name == a.Name }) {
			return fmt.Errorf("attacks.%d: %s is listed twice; keep one", i, a.Name)
		}
	}
	return c.Task.Validate()
}

func count(list []string, name string) (n int) {
	for _, s := range list {
		if s == name {
			n++
		}
	}
	return n
}

func label(m compare.Method) string {
	if m.Label != "" {
		return m.Label
	}
	return m.Name
}
