package autoencoders

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"loupe/internal/config"
	"loupe/probe/capture"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/sae"
)

// Config is a file such as experiments/autoencoders/minilm.yaml.
type Config struct {
	Name          string         `json:"name" doc:"name of the run folder"`
	Seed          int64          `json:"seed" doc:"seed of the order of training rows, samples and intervals"`
	Model         string         `json:"model" doc:"model: minilm, smollm2, a folder, or hf:org/name@rev"`
	Site          string         `json:"site" doc:"site of shape [b,t,d], such as blocks.4.hook_resid_pre"`
	Text          TextConfig     `json:"text" doc:"what is read"`
	Train         TrainConfig    `json:"train" doc:"what all autoencoders share"`
	Architectures []Architecture `json:"architectures" doc:"what is compared"`
	Controls      ControlConfig  `json:"controls" doc:"dictionaries without training"`
	Splice        SpliceConfig   `json:"splice" doc:"dictionaries in the model"`
	Explain       ExplainConfig  `json:"explain" doc:"latents of the best autoencoder"`
}

// TextConfig says what is read.
type TextConfig struct {
	Corpus    text.CorpusConfig `json:"corpus" doc:"the text, with a held-out share"`
	MaxLength int               `json:"max_length" doc:"longest sequence in tokens, special ones included; the rest is cut off"`
	DType     string            `json:"dtype" enum:"float32,float16" doc:"how activations are stored"`
	BOS       string            `json:"bos" enum:"template,prepend" doc:"beginning-of-sequence token: what the tokenizer's template does, or first in every text"`
	Special   bool              `json:"special" doc:"train on special tokens and splice them too; they are never evaluated"`
}

// TrainConfig is what all autoencoders share.
type TrainConfig struct {
	DSAE             int      `json:"d_sae" doc:"number of latents"`
	TargetL0         float64  `json:"target_l0" doc:"active latents per row that every architecture is to have"`
	Tokens           int64    `json:"tokens" doc:"rows to train on, rounded up to whole batches"`
	Batch            int      `json:"batch" doc:"rows of one step"`
	Seeds            []uint64 `json:"seeds" doc:"seeds of the initial dictionaries"`
	CheckpointTokens int64    `json:"checkpoint_tokens" doc:"rows between checkpoints"`
}

// Architecture is one way to train.
type Architecture struct {
	Name string     `json:"name" doc:"name in tables, metrics and folders"`
	SAE  sae.Config `json:"sae" doc:"architecture and recipe; sizes and seeds are those of train"`
}

// SetDefaults implements [config.Defaulter].
func (a *Architecture) SetDefaults() { *a = Architecture{SAE: sae.DefaultConfig()} }

// ControlConfig sizes the controls.
type ControlConfig struct {
	Rows int `json:"rows" doc:"training rows that give the mean and the principal components"`
}

// SpliceConfig sizes the comparison inside the model.
type SpliceConfig struct {
	Texts      int `json:"texts" doc:"held-out texts, a multiple of batch"`
	MinTokens  int `json:"min_tokens" doc:"fewest tokens of such a text, special ones included"`
	Batch      int `json:"batch" doc:"texts of one forward pass"`
	Neighbours int `json:"neighbours" doc:"nearest neighbours that are compared, for text encoders"`
}

// ExplainConfig sizes the explanations.
type ExplainConfig struct {
	Latents  int     `json:"latents" doc:"latents that are drawn at random among those active often enough"`
	Examples int     `json:"examples" doc:"examples of each latent from different training texts; a latent with fewer is not drawn"`
	Texts    int     `json:"texts" doc:"held-out texts with the latent, and as many without it, that test a description; a latent with fewer is not drawn"`
	Context  int     `json:"context" doc:"tokens shown before and after the active one"`
	Cover    float64 `json:"cover" doc:"a description names the tokens that carry this share of the activation"`
	Tokens   int     `json:"tokens" doc:"most tokens of a description"`
}

// DefaultConfig returns the settings that a file starts from; it names no architecture.
func DefaultConfig() Config {
	corpus := text.DefaultCorpusConfig(text.KindGoRoot)
	corpus.HeldOut, corpus.Seed = 0.1, 1
	return Config{
		Name: "autoencoders", Seed: 1, Model: "minilm", Site: "blocks.4.hook_resid_pre",
		Text:     TextConfig{Corpus: corpus, MaxLength: 128, DType: "float32", BOS: capture.BOSTemplate, Special: true},
		Train:    TrainConfig{DSAE: 3072, TargetL0: 32, Tokens: 1_000_000, Batch: 512, Seeds: []uint64{1, 2, 3}, CheckpointTokens: 200_000},
		Controls: ControlConfig{Rows: 65_536},
		Splice:   SpliceConfig{Texts: 400, MinTokens: 8, Batch: 8, Neighbours: 10},
		Explain:  ExplainConfig{Latents: 10, Examples: 10, Texts: 20, Context: 8, Cover: 0.6, Tokens: 6},
	}
}

// Kind is the configuration kind of this experiment.
func Kind() config.Kind {
	return config.Kind{Name: "autoencoders", Doc: "sparse autoencoders of several architectures and seeds, compared on one layer", New: func() any {
		c := DefaultConfig()
		return &c
	}}
}

var nameOf = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Validate checks what does not depend on the model; the rest is checked when the model is loaded.
func (c *Config) Validate() error {
	site, err := model.ParseSite(c.Site)
	switch {
	case err != nil:
		return err
	case site.Kind.Axes() != "btd":
		return fmt.Errorf("site is %s; name one of shape [b,t,d], such as blocks.4.hook_resid_pre", c.Site)
	case c.Name == "" || c.Model == "":
		return errors.New("name and model must not be empty")
	case c.Seed < 0:
		return fmt.Errorf("seed is %d; it must not be negative", c.Seed)
	case c.Text.Corpus.HeldOut <= 0 || c.Text.Corpus.HeldOut >= 1:
		return fmt.Errorf("text.corpus.held_out is %v; it must be between 0 and 1", c.Text.Corpus.HeldOut)
	case c.Text.MaxLength < 8:
		return fmt.Errorf("text.max_length is %d; texts need at least 8 tokens", c.Text.MaxLength)
	case len(c.Train.Seeds) == 0:
		return errors.New("train.seeds is empty; three seeds are what an interval needs")
	case len(c.Architectures) == 0:
		return errors.New("architectures is empty; name one, such as {name: topk, sae: {arch: topk}}")
	case c.Controls.Rows < 2:
		return errors.New("controls.rows must be at least 2: a result without its control is not printed")
	case c.Splice.Batch < 1 || c.Splice.Texts < 2 || c.Splice.Texts%c.Splice.Batch != 0:
		return fmt.Errorf("splice.texts is %d and splice.batch %d; give at least two texts, a multiple of the batch", c.Splice.Texts, c.Splice.Batch)
	case c.Splice.MinTokens < 4 || c.Splice.MinTokens > c.Text.MaxLength:
		return fmt.Errorf("splice.min_tokens is %d; it must lie between 4 and text.max_length", c.Splice.MinTokens)
	case c.Splice.Neighbours < 1 || c.Splice.Neighbours >= c.Splice.Texts:
		return fmt.Errorf("splice.neighbours is %d; it must lie between 1 and splice.texts", c.Splice.Neighbours)
	case c.Explain.Latents < 2 || c.Explain.Examples < 1 || c.Explain.Texts < 1 || c.Explain.Context < 0 || c.Explain.Tokens < 1:
		return errors.New("explain: latents must be at least 2 (each is the other's control), examples, texts and tokens at least 1, context not negative")
	case !(c.Explain.Cover > 0 && c.Explain.Cover <= 1):
		return fmt.Errorf("explain.cover is %v; it is a share above 0 and at most 1", c.Explain.Cover)
	}
	return c.validateArchitectures()
}

func (c *Config) validateArchitectures() error {
	fixed := sae.DefaultConfig()
	for i, a := range c.Architectures {
		switch {
		case !nameOf.MatchString(a.Name) || a.Name == random || a.Name == pca:
			return fmt.Errorf("architectures[%d].name is %q; a name has small letters, digits and underscores, and is not one of the controls'", i, a.Name)
		case slices.ContainsFunc(c.Architectures[:i], func(b Architecture) bool { return b.Name == a.Name }):
			return fmt.Errorf("two architectures are called %s", a.Name)
		case a.SAE.Engine == sae.EngineAuto:
			return fmt.Errorf("architecture %s: sae.engine is auto, whose choice can differ from run to run; name hybrid, xla or dense", a.Name)
		case a.SAE.DSAE != 0 || a.SAE.Tokens != fixed.Tokens || a.SAE.Batch != fixed.Batch || a.SAE.Seed != 0 || a.SAE.CheckpointTokens != fixed.CheckpointTokens:
			return fmt.Errorf("architecture %s: d_sae, tokens, batch, seed and checkpoint_tokens are set in train, once for all", a.Name)
		}
	}
	return nil
}

// member is architecture a with one of the seeds.
func (c *Config) member(a Architecture, seed uint64) sae.Member {
	cfg := a.SAE
	cfg.DSAE, cfg.TargetL0, cfg.Tokens, cfg.Batch, cfg.Seed, cfg.CheckpointTokens = c.Train.DSAE, c.Train.TargetL0, c.Train.Tokens, c.Train.Batch, seed, c.Train.CheckpointTokens
	return sae.Member{Name: memberName(a.Name, seed), Inputs: []string{c.Site}, Config: cfg}
}

// members are all architectures with all seeds, seeds of one architecture next to each other.
func (c *Config) members() []sae.Member {
	var out []sae.Member
	for _, a := range c.Architectures {
		for _, seed := range c.Train.Seeds {
			out = append(out, c.member(a, seed))
		}
	}
	return out
}

// memberName is the name of a method with a seed, in folders and steps.
func memberName(method string, seed uint64) string { return fmt.Sprintf("%s-%d", method, seed) }
