package compare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/study"
)

// Kind is the kind of its configuration file.
const Kind = "erase"

// Config lists methods, what they erase, and how the outcome is measured.
type Config struct {
	study.Base
	Model string `json:"model" doc:"text encoder: minilm, smollm2, a folder, or hf:org/name@rev"`
	Pool  string `json:"pool" doc:"which states are a text's embedding; empty: what the model's kind pools" enum:",mean,cls,eos,last"`
	evaluate.Config
	KV      string   `json:"kv" doc:"safetensors file of the key and value matrices that read the states; empty: none"`
	KVRows  int      `json:"kv_rows" doc:"rows of a random stack in its place, by seed; 0: none"`
	Methods []Method `json:"methods" doc:"what is compared"`
}

// Method is one row.
type Method struct {
	Name     string   `json:"name" doc:"of the method, see loupe list erasure"`
	Label    string   `json:"label" doc:"of the row; empty: the name"`
	Settings []string `json:"settings" doc:"key=value pairs that differ from the method's defaults"`
	Seeds    int      `json:"seeds" doc:"fits of each concept; 0: as the comparison says"`
	Concepts []string `json:"concepts" doc:"that are erased; empty: those of the task"`
	Together []int    `json:"together" doc:"numbers of people erased at once; empty: as the comparison says, [0]: none"`
}

func (m Method) label() string {
	if m.Label != "" {
		return m.Label
	}
	return m.Name
}

// Resolve finds the method with its settings.
func (m Method) Resolve() (method.Method, any, error) {
	found, err := method.Find(m.Name)
	if err != nil {
		return found, nil, err
	}
	kind := config.Kind{Name: "erase method " + m.Name, New: found.Config}
	c, err := config.Load([]config.Kind{kind}, config.Input{Kind: kind.Name, Set: m.Settings})
	if err != nil {
		return found, nil, fmt.Errorf("settings of %s: %w", m.Name, err)
	}
	return found, c.Value, nil
}

// DefaultConfig compares the closed forms and the baselines.
func DefaultConfig() *Config {
	c := &Config{Base: study.Base{Name: "erase", Seed: 1}, Model: "minilm", Config: evaluate.DefaultConfig()}
	c.Seeds = 3
	for _, m := range method.All() {
		if m.Acts == method.ActsEmbeddings {
			c.Methods = append(c.Methods, Method{Name: m.Name})
		}
	}
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if c.Name == "" || c.Seed < 0 || c.Model == "" {
		return fmt.Errorf("name is %q, seed %d, model %q; name run and model, and use a seed from 0 on", c.Name, c.Seed, c.Model)
	}
	if len(c.Methods) == 0 {
		return errors.New("methods is empty; list at least one, such as {name: uce}")
	}
	if c.KV != "" && c.KVRows != 0 {
		return errors.New("kv and kv_rows are both given; use one of them")
	}
	for i, m := range c.Methods {
		if _, _, err := m.Resolve(); err != nil {
			return fmt.Errorf("methods.%d: %w", i, err)
		}
		if slices.ContainsFunc(c.Methods[:i], func(o Method) bool { return o.label() == m.label() }) {
			return fmt.Errorf("methods.%d: %s is listed twice; give a label", i, m.label())
		}
		if m.Seeds < 0 {
			return fmt.Errorf("methods.%d: seeds is %d; use 0 or more", i, m.Seeds)
		}
	}
	return c.Config.Validate()
}

// Pick finds a method by its label; "" is the only one.
func (c *Config) Pick(label string) (Method, error) {
	var labels []string
	for _, m := range c.Methods {
		if m.label() == label || label == "" && len(c.Methods) == 1 {
			return m, nil
		}
		labels = append(labels, m.label())
	}
	if label == "" {
		return Method{}, fmt.Errorf("the configuration has several methods; choose one by --method: %s", strings.Join(labels, ", "))
	}
	return Method{}, fmt.Errorf("method %q is not in the configuration; it has %s", label, strings.Join(labels, ", "))
}
