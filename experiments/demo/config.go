package demo

import (
	"errors"
	"fmt"

	"loupe/internal/config"
	"loupe/probe/model"
	"loupe/sae"
)

// Config is experiments/demo/config.yaml.
type Config struct {
	Name   string       `json:"name" doc:"name of the run folder"`
	Seed   int64        `json:"seed" doc:"seed of the sentences, splits, samples and shuffles"`
	Model  string       `json:"model" doc:"text encoder: minilm, a folder, or hf:org/name@rev"`
	Site   string       `json:"site" doc:"residual stream that enters a block: blocks.N.hook_resid_pre, N > 0"`
	Text   TextConfig   `json:"text" doc:"what is read"`
	SAE    sae.Config   `json:"sae" doc:"the sparse autoencoder and its training"`
	Splice SpliceConfig `json:"splice" doc:"the autoencoder in the encoder"`
	Detect DetectConfig `json:"detect" doc:"latents that detect concepts"`
	Ablate AblateConfig `json:"ablate" doc:"the encoder without these latents"`
}

// TextConfig says what is read.
type TextConfig struct {
	MaxDocs      int      `json:"max_docs" doc:"documents of Go's standard library; 0: all"`
	HeldOut      float64  `json:"held_out" doc:"share of these documents that training never sees"`
	MaxLength    int      `json:"max_length" doc:"longest sequence in tokens, special ones included; the rest is cut off"`
	DType        string   `json:"dtype" enum:"float32,float16" doc:"how activations are stored"`
	Concepts     []string `json:"concepts" doc:"concepts of the built-in suite"`
	TrainPairs   int      `json:"train_pairs" doc:"training sentences with a word of the concept, each with a twin that has another word"`
	HeldOutPairs int      `json:"held_out_pairs" doc:"pairs whose words and templates no training sentence has"`
	HeldOutShare float64  `json:"held_out_share" doc:"share of words and of templates that are held out"`
}

// SpliceConfig sizes the comparison of embeddings with the autoencoder in the encoder.
type SpliceConfig struct {
	Documents  int `json:"documents" doc:"held-out documents that are compared besides the held-out concept sentences; 0: all"`
	Neighbours int `json:"neighbours" doc:"nearest neighbours that are compared"`
}

// DetectConfig sizes the search for latents.
type DetectConfig struct {
	Latents  int `json:"latents" doc:"best latents of each concept that are kept"`
	Shuffles int `json:"shuffles" doc:"repetitions of the whole selection with shuffled labels"`
}

// AblateConfig sizes the ablation.
type AblateConfig struct {
	Random int `json:"random" doc:"sets of random latents for each concept and control"`
}

// DefaultConfig returns the settings that config.yaml starts from.
func DefaultConfig() Config {
	c := Config{
		Name: "demo", Seed: 1, Model: "minilm", Site: "blocks.3.hook_resid_pre", SAE: sae.DefaultConfig(),
		Text:   TextConfig{HeldOut: 0.1, MaxLength: 64, DType: "float32", TrainPairs: 200, HeldOutPairs: 40, HeldOutShare: 0.25},
		Splice: SpliceConfig{Documents: 250, Neighbours: 10},
		Detect: DetectConfig{Latents: 5, Shuffles: 200},
		Ablate: AblateConfig{Random: 3},
	}
	c.SAE.Engine = sae.EngineHybrid
	return c
}

// Kind is the configuration kind of this experiment.
func Kind() config.Kind {
	return config.Kind{Name: "demo", Doc: "the demonstration: capture, autoencoder, splice, concept latents, ablation", New: func() any {
		c := DefaultConfig()
		return &c
	}}
}

// Validate checks what does not depend on the model; the rest is checked when the model is loaded.
func (c *Config) Validate() error {
	site, err := model.ParseSite(c.Site)
	switch {
	case err != nil:
		return err
	case site.Kind != model.ResidPre || site.Layer == 0:
		return fmt.Errorf("site is %s; name the residual stream that enters a block after the first, such as blocks.3.hook_resid_pre", c.Site)
	case c.Name == "" || c.Model == "":
		return errors.New("name and model must not be empty")
	case c.Seed < 0:
		return fmt.Errorf("seed is %d; it must not be negative", c.Seed)
	case c.Text.MaxDocs < 0:
		return fmt.Errorf("text.max_docs is %d; use 0 for all", c.Text.MaxDocs)
	case c.Text.HeldOut <= 0 || c.Text.HeldOut >= 1:
		return fmt.Errorf("text.held_out is %v; it must be between 0 and 1", c.Text.HeldOut)
	case c.Text.MaxLength < 8:
		return fmt.Errorf("text.max_length is %d; sentences need at least 8 tokens", c.Text.MaxLength)
	case c.Text.HeldOutPairs < 2 || c.Text.TrainPairs < 2:
		return errors.New("text.train_pairs and text.held_out_pairs must be at least 2")
	case len(c.Text.Concepts) == 0:
		return errors.New("text.concepts is empty; `loupe run demo` comes with ten")
	case c.Splice.Documents < 0 || c.Splice.Neighbours < 1:
		return errors.New("splice.documents must not be negative, splice.neighbours at least 1")
	case c.Detect.Latents < 1 || c.Detect.Shuffles < 1:
		return errors.New("detect.latents and detect.shuffles must be at least 1: a result without its control is not printed")
	case c.Ablate.Random < 1:
		return errors.New("ablate.random must be at least 1: a result without its control is not printed")
	case c.SAE.Engine == sae.EngineAuto:
		return errors.New("sae.engine is auto, whose choice can differ from run to run; name hybrid, xla or dense")
	}
	return nil
}

// layer is the block that the site enters.
func (c *Config) layer() int {
	site, err := model.ParseSite(c.Site)
	if err != nil {
		return 0 // Validate has refused it
	}
	return site.Layer
}
