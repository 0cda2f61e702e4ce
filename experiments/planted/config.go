package planted

import (
	"errors"
	"fmt"
	"slices"

	"loupe/internal/config"
	"loupe/internal/study"
	"loupe/sae"
)

// Config is experiments/planted/config.yaml. The keys from k to checkpoint_tokens are those of [sae.Config], for all
// architectures.
type Config struct {
	study.Base
	Data     DataConfig `json:"data" doc:"the activations"`
	Cosine   float64    `json:"cosine" doc:"a feature is recovered when a decoder row has at least this cosine with it"`
	Widths   []int      `json:"widths" doc:"numbers of latents, an autoencoder of each architecture for each"`
	Goals    []float64  `json:"goals" doc:"share of the features to recover, for each width"`
	EvalRows int64      `json:"eval_rows" doc:"rows, none of them trained on, that errors and latents are counted on"`

	K           int   `json:"k" doc:"latents kept for each row, or the target for their number"`
	Batch       int   `json:"batch" doc:"rows of one step"`
	Tokens      int64 `json:"tokens" doc:"rows to train on"`
	DeadTokens  int64 `json:"dead_tokens" doc:"a latent silent for so many rows is dead"`
	InitRows    int   `json:"init_rows" doc:"rows that the start takes from the data"`
	Checkpoints int64 `json:"checkpoint_tokens" doc:"rows between checkpoints, of which this experiment keeps none"`

	Architectures []Architecture  `json:"architectures" inherit:"true" doc:"what is trained, each with the keys given here besides its own"`
	Prefixes      PrefixConfig    `json:"prefixes" doc:"Matryoshka's prefixes"`
	Stability     StabilityConfig `json:"stability" doc:"dictionaries of several seeds"`
}

// DataConfig describes the activations; see [sae.PlantedConfig].
type DataConfig struct {
	Dim      int     `json:"dim" doc:"width of the activations"`
	Features int     `json:"features" doc:"directions, uniform on the sphere"`
	Active   int     `json:"active" doc:"different features in each row, with strengths uniform in [0.5, 1.5)"`
	Noise    float64 `json:"noise" doc:"standard deviation of the noise in each dimension"`
}

// Architecture is one way to train.
type Architecture struct {
	Label string `json:"label" doc:"name in tables and metrics; empty: the architecture"`
	Why   string `json:"why" doc:"what keeps it from the goal by its design; empty: nothing"`
	sae.Config
}

// SetDefaults implements [config.Defaulter].
func (a *Architecture) SetDefaults() { *a = Architecture{Config: sae.DefaultConfig()} }

// name is what an architecture is called.
func (a *Architecture) name() string {
	if a.Label == "" {
		return a.Arch
	}
	return a.Label
}

// PrefixConfig sizes the look at a Matryoshka SAE's prefixes.
type PrefixConfig struct {
	Of    string `json:"of" doc:"label of the architecture; empty: none"`
	Draws int    `json:"draws" doc:"random sets of as many of its latents that each prefix is compared with"`
}

// StabilityConfig sizes the comparison of seeds.
type StabilityConfig struct {
	Of    []string `json:"of" doc:"labels of the architectures; empty: none"`
	Seeds int      `json:"seeds" doc:"autoencoders of each, with different starts on different rows"`
	Width int      `json:"width" doc:"their number of latents"`
}

// DefaultConfig returns the settings of the question: 256 features in 64 dimensions. It names no architecture.
func DefaultConfig() Config {
	return Config{
		Base: study.Base{Name: "planted", Seed: 1},
		Data: DataConfig{Dim: 64, Features: 256, Active: 8, Noise: 0.05}, Cosine: 0.95,
		Widths: []int{256, 512}, Goals: []float64{0.85, 0.95}, EvalRows: 32_768,
		K: 8, Batch: 1024, Tokens: 4000 * 1024, DeadTokens: 200_000, InitRows: 8192, Checkpoints: 1 << 40,
		Prefixes: PrefixConfig{Draws: 10}, Stability: StabilityConfig{Seeds: 3, Width: 256},
	}
}

// Kind is the configuration kind of this experiment.
func Kind() config.Kind {
	return config.Kind{Name: "planted", Doc: "every dictionary architecture on activations in superposition whose features are known", New: func() any {
		c := DefaultConfig()
		return &c
	}}
}

// Validate checks what has to fit together; an autoencoder's settings are checked for every width.
func (c *Config) Validate() error {
	switch {
	case len(c.Widths) == 0 || len(c.Architectures) == 0:
		return errors.New("widths and architectures must not be empty")
	case len(c.Goals) != len(c.Widths):
		return fmt.Errorf("goals has %d values for %d widths", len(c.Goals), len(c.Widths))
	case !(c.Cosine > 0 && c.Cosine < 1):
		return fmt.Errorf("cosine is %v; it must be between 0 and 1", c.Cosine)
	case c.EvalRows < int64(c.Batch):
		return fmt.Errorf("eval_rows is %d; it must be at least a batch of %d", c.EvalRows, c.Batch)
	case c.Prefixes.Of != "" && c.Prefixes.Draws < 2:
		return fmt.Errorf("prefixes.draws is %d; it must be at least 2", c.Prefixes.Draws)
	case len(c.Stability.Of) > 0 && c.Stability.Seeds < 2:
		return fmt.Errorf("stability.seeds is %d; it must be at least 2", c.Stability.Seeds)
	}
	if _, err := c.rows(0); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range c.Architectures {
		a := &c.Architectures[i]
		if seen[a.name()] {
			return fmt.Errorf("two architectures are called %s; give one a label", a.name())
		}
		seen[a.name()] = true
		for _, width := range c.Widths {
			if _, err := c.settings(a, width, 0); err != nil {
				return fmt.Errorf("architectures.%d (%s): %w", i, a.name(), err)
			}
		}
	}
	for _, label := range append(slices.Clone(c.Stability.Of), c.Prefixes.Of) {
		if label == "" {
			continue
		}
		a, err := c.called(label)
		if err != nil {
			return err
		}
		if label == c.Prefixes.Of && a.Arch != sae.ArchMatryoshka {
			return fmt.Errorf("prefixes.of is %s, an SAE of architecture %s; name one of %s", label, a.Arch, sae.ArchMatryoshka)
		}
	}
	return nil
}

// called returns the architecture with a label.
func (c *Config) called(label string) (*Architecture, error) {
	for i := range c.Architectures {
		if c.Architectures[i].name() == label {
			return &c.Architectures[i], nil
		}
	}
	return nil, fmt.Errorf("no architecture is called %s", label)
}

// settings are those of one training.
func (c *Config) settings(a *Architecture, width int, seed int64) (sae.Config, error) {
	cfg := a.Config
	cfg.DSAE, cfg.Seed = width, uint64(seed)
	if !cfg.Transcodes() && !cfg.ReadsMany() {
		return cfg.Resolve(c.Data.Dim)
	}
	return cfg, fmt.Errorf("%s is no dictionary of one site", a.Arch)
}
