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

// Config is a file such as experiments/autoencoders/minilm.yaml. The keys of [sae.Config] are the recipe that all
// architectures share; seed is that of the order of training rows, of samples and of intervals.
type Config struct {
	Name  string     `json:"name" doc:"name of the run folder"`
	Model string     `json:"model" doc:"model: minilm, smollm2, a folder, or hf:org/name@rev"`
	Site  string     `json:"site" doc:"site of shape [b,t,d], such as blocks.4.hook_resid_pre"`
	Text  TextConfig `json:"text" doc:"what is read"`
	Seeds []uint64   `json:"seeds" doc:"seeds of the initial dictionaries, an autoencoder of each architecture for each"`
	sae.Config
	Architectures []Architecture `json:"architectures" inherit:"true" doc:"what is compared: each with the keys given here besides its own"`
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
	FromPos   int               `json:"from_pos" doc:"positions of a text before this one are not trained on, evaluated or spliced: in decoders some take the attention sink, with norms that drown all others"`
}

// Architecture is one way to train.
type Architecture struct {
	Label string `json:"label" doc:"name in tables, metrics and folders; empty: the architecture"`
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
	train := sae.DefaultConfig()
	train.DSAE, train.TargetL0, train.Tokens, train.Batch, train.CheckpointTokens, train.Seed = 3072, 32, 1_000_000, 512, 200_000, 1
	return Config{
		Name: "autoencoders", Model: "minilm", Site: "blocks.4.hook_resid_pre", Seeds: []uint64{1, 2, 3}, Config: train,
		Text:     TextConfig{Corpus: corpus, MaxLength: 128, DType: "float32", BOS: capture.BOSTemplate, Special: true},
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
	case c.Text.Corpus.HeldOut <= 0 || c.Text.Corpus.HeldOut >= 1:
		return fmt.Errorf("text.corpus.held_out is %v; it must be between 0 and 1", c.Text.Corpus.HeldOut)
	case c.Text.MaxLength < 8:
		return fmt.Errorf("text.max_length is %d; texts need at least 8 tokens", c.Text.MaxLength)
	case c.Text.FromPos < 0 || c.Text.FromPos >= c.Splice.MinTokens:
		return fmt.Errorf("text.from_pos is %d; it must not be negative, and below splice.min_tokens", c.Text.FromPos)
	case len(c.Seeds) == 0:
		return errors.New("seeds is empty; three seeds are what an interval needs")
	case len(c.Architectures) == 0:
		return errors.New("architectures is empty; name one, such as {arch: topk}")
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
	for i := range c.Architectures {
		a := &c.Architectures[i]
		usual := sae.DefaultsFor(a.Arch)
		for _, same := range []struct {
			key             string
			is, want, usual any
		}{
			{"d_sae", a.DSAE, c.DSAE, usual.DSAE},
			{"target_l0", a.TargetL0, c.TargetL0, usual.TargetL0},
			{"tokens", a.Tokens, c.Tokens, usual.Tokens},
			{"batch", a.Batch, c.Batch, usual.Batch},
			{"checkpoint_tokens", a.CheckpointTokens, c.CheckpointTokens, usual.CheckpointTokens},
			{"seed", a.Seed, c.Seed, usual.Seed},
		} {
			if same.is != same.want && same.is != same.usual {
				return fmt.Errorf("%s is %v for %s and %v for all; it is set once, at the root, for a fair comparison", same.key, same.is, a.name(), same.want)
			}
		}
		switch {
		case !nameOf.MatchString(a.name()) || a.name() == random || a.name() == pca:
			return fmt.Errorf("architectures[%d] is called %q; a label has small letters, digits and underscores, and is not one of the controls'", i, a.name())
		case slices.ContainsFunc(c.Architectures[:i], func(b Architecture) bool { return b.name() == a.name() }):
			return fmt.Errorf("two architectures are called %s; give them different labels", a.name())
		case a.Engine == sae.EngineAuto:
			return fmt.Errorf("engine of %s is auto, whose choice can differ from run to run; name host, hybrid, xla or dense", a.name())
		}
	}
	return nil
}

// member is architecture a with one of the seeds.
func (c *Config) member(a *Architecture, seed uint64) sae.Member {
	cfg := a.Config
	cfg.DSAE, cfg.TargetL0, cfg.Tokens, cfg.Batch, cfg.CheckpointTokens, cfg.Seed = c.DSAE, c.TargetL0, c.Tokens, c.Batch, c.CheckpointTokens, seed
	return sae.Member{Name: memberName(a.name(), seed), Inputs: []string{c.Site}, Config: cfg}
}

// members are all architectures with all seeds, seeds of one architecture next to each other.
func (c *Config) members() []sae.Member {
	var out []sae.Member
	for i := range c.Architectures {
		for _, seed := range c.Seeds {
			out = append(out, c.member(&c.Architectures[i], seed))
		}
	}
	return out
}

// memberName is the name of a method with a seed, in folders and steps.
func memberName(method string, seed uint64) string { return fmt.Sprintf("%s-%d", method, seed) }
