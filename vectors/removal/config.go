package removal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"loupe/internal/config"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/probe/capture"
	"loupe/probe/model"
	"loupe/probe/sweep"
	"loupe/probe/text"
	"loupe/vectors"
	"loupe/vectors/evaluate"
)

// Kind is the kind of its configuration file.
const Kind = "ablate"

// Config says what is removed from which models, how, and how the outcome is judged.
type Config struct {
	study.Base

	Models []ModelConfig        `json:"models" doc:"models and the sites that are edited"`
	Corpus text.CorpusConfig    `json:"corpus" doc:"labelled texts"`
	Target sweep.TargetConfig   `json:"target" doc:"what is removed; with by, one class of it in values"`
	Others []sweep.TargetConfig `json:"others" doc:"what should stay: linear probes of them are fitted before and after"`
	Split  sweep.SplitConfig    `json:"split" doc:"which texts fit the methods and the probes, and which are held out"`

	Methods  []string             `json:"methods" doc:"ablation (of the difference of means), mean-projection, leace, leace-oracle, leace-quadratic, inlp, rlace, sal; or a direction that is ablated: diff-means, diff-means-whitened, mass-mean-cov, lda, logistic, ridge, cav, pca"`
	Settings vectors.MethodConfig `json:"settings" doc:"of the methods"`
	Probes   []string             `json:"probes" doc:"probes that look for the concept: logistic, quadratic, mlp, or another of the probe's methods"`
	Epochs   int                  `json:"epochs" doc:"mlp: passes over the training rows, at most"`

	Random   int      `json:"random" doc:"random subspaces of each rank that is removed"`
	Shuffled []string `json:"shuffled" doc:"methods that are also fitted to shuffled labels"`

	Damage    evaluate.Config      `json:"damage" doc:"what the edit does to the running model"`
	Intervals probe.IntervalConfig `json:"intervals" doc:"of the held-out scores"`
}

// ModelConfig is a model with the site that is edited.
type ModelConfig struct {
	Model     string `json:"model" doc:"minilm, smollm2, a folder, a .gguf file, or hf:org/name@rev"`
	Site      string `json:"site" doc:"such as blocks.3.hook_resid_post"`
	Position  string `json:"position" doc:"which tokens of a text are read: mean, first, last, cls, span-mean, span-first, span-last or a number; the running model is edited at every token"`
	MaxLength int    `json:"max_length" doc:"tokens of a text, special ones included; the rest is cut off"`
}

// SetDefaults sets what a list element leaves out.
func (m *ModelConfig) SetDefaults() { m.Position, m.MaxLength = "mean", 64 }

// DefaultConfig removes the concept animals and watches two others.
func DefaultConfig() Config {
	d := sweep.DefaultData()
	c := Config{
		Base: study.Base{Name: "ablate", Seed: 1}, Corpus: text.DefaultCorpusConfig(text.KindConcepts), Target: d.Target, Split: d.Split,
		Methods: []string{vectors.MethodAblation, vectors.MethodLEACE, vectors.MethodINLP}, Settings: vectors.DefaultMethodConfig(),
		Probes: []string{probe.MethodLogistic, probe.MethodQuadratic, probe.MethodMLP}, Epochs: 40,
		Random: 1, Shuffled: []string{vectors.MethodLEACE}, Damage: evaluate.DefaultConfig(), Intervals: probe.DefaultIntervals(),
	}
	c.Target.Values = []string{"animals"}
	return c
}

// ConfigKind is the kind of configuration, for `loupe config`.
func ConfigKind() config.Kind {
	return config.Kind{Name: Kind, Doc: "remove a concept from models, beside controls, and measure what is left and what it cost", New: func() any {
		c := DefaultConfig()
		return &c
	}}
}

// DeriveDefaults generates the concepts that the targets name.
func (c *Config) DeriveDefaults() {
	if len(c.Corpus.Concepts) > 0 || c.Corpus.Kind != text.KindConcepts && c.Corpus.Kind != text.KindHierarchy {
		return
	}
	for _, t := range append([]sweep.TargetConfig{c.Target}, c.Others...) {
		for _, v := range t.Values {
			if t.By == "concept" && !slices.Contains(c.Corpus.Concepts, v) {
				c.Corpus.Concepts = append(c.Corpus.Concepts, v)
			}
		}
	}
	c.Corpus.Seed = c.Seed
}

// Validate checks what does not depend on the models.
func (c *Config) Validate() error {
	known := append(vectors.EraserMethods(), vectors.DirectionMethods()...)
	switch {
	case c.Name == "" || c.Seed < 0:
		return fmt.Errorf("name is %q and seed %d; name the run, and use a seed from 0 on", c.Name, c.Seed)
	case len(c.Models) == 0:
		return errors.New("models is empty; list at least one, such as {model: minilm, site: blocks.3.hook_resid_post}")
	case len(c.Methods) == 0 || len(c.Probes) == 0:
		return errors.New("methods and probes must not be empty")
	case c.Random < 1:
		return errors.New("random must be at least 1: a result without its control is not printed")
	case c.Target.By != "" && len(c.Target.Values) != 1:
		return fmt.Errorf("target.values is %v; name one class of target.by, that which is removed", c.Target.Values)
	case c.Target.Task == string(probe.Regression):
		return errors.New("target.task is regression; a removal is judged on classes")
	case c.Target.Task == string(probe.Binary) && c.Target.Positive == "":
		return errors.New("target.positive is empty; name the class that is the concept, or set target.task to multiclass")
	case c.Epochs < 1:
		return fmt.Errorf("epochs is %d; use 1 or more", c.Epochs)
	}
	for _, list := range [][]string{c.Methods, c.Shuffled} {
		for i, m := range list {
			if !slices.Contains(known, m) {
				if near, ok := config.Nearest(m, known); ok {
					return fmt.Errorf("method %q is unknown; did you mean %q?", m, near)
				}
				return fmt.Errorf("method %q is unknown; there are %s", m, strings.Join(known, ", "))
			}
			if slices.Contains(list[:i], m) {
				return fmt.Errorf("method %q is listed twice", m)
			}
		}
	}
	for i, m := range c.Models {
		site, err := model.ParseSite(m.Site)
		if err != nil {
			return fmt.Errorf("models.%d: %w", i, err)
		}
		if m.Model == "" || !site.Kind.InBlock() {
			return fmt.Errorf("models.%d: model %q, site %q; name both, the site inside a block", i, m.Model, m.Site)
		}
		if slices.ContainsFunc(c.Models[:i], func(o ModelConfig) bool { return o.name() == m.name() && o.Site == m.Site && o.Position == m.Position }) {
			return fmt.Errorf("models.%d: %s at %s is listed twice", i, m.Model, m.Site)
		}
		d := c.data(m, "store", c.Target)
		if err := d.Validate(); err != nil {
			return fmt.Errorf("models.%d: %w", i, err)
		}
	}
	for _, m := range c.probes() {
		if err := m.Validate(); err != nil {
			return err
		}
		if m.Name == probe.MethodCCS || m.Name == probe.MethodAttention {
			return fmt.Errorf("probes: %s does not read single activations; use logistic, quadratic or mlp", m.Name)
		}
	}
	for _, err := range []error{c.Settings.Validate(), c.Damage.Validate(), c.Intervals.Validate()} {
		if err != nil {
			return err
		}
	}
	return nil
}

// probes are the methods that look for the concept.
func (c *Config) probes() []probe.Method {
	var out []probe.Method
	for _, name := range c.Probes {
		m := probe.DefaultMethod(name)
		m.MLP.Epochs = c.Epochs
		out = append(out, m)
	}
	return out
}

// name is the model's name in tables.
func (m ModelConfig) name() string { return filepath.Base(m.Model) }

// key is the model's name, with the place where several entries are of one model.
func (c *Config) key(m ModelConfig) string {
	n := 0
	for _, o := range c.Models {
		if o.name() == m.name() {
			n++
		}
	}
	if n == 1 {
		return m.name()
	}
	return m.name() + "-" + m.Site + "-" + m.Position
}

// data says what is read of a model.
func (c *Config) data(m ModelConfig, store string, t sweep.TargetConfig) sweep.Data {
	d := sweep.DefaultData()
	d.Store, d.Sites, d.Positions, d.Target, d.Split, d.Seed = store, []string{m.Site}, []string{m.Position}, t, c.Split, uint64(c.Seed)
	d.Capture.Model, d.Capture.Corpus, d.Capture.MaxLength = m.Model, c.Corpus, m.MaxLength
	d.Capture.Sites = []capture.SiteConfig{{Site: m.Site, Reduce: capture.Tokens, DType: "float32"}}
	d.DeriveDefaults()
	return d
}
