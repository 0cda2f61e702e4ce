package training

import (
	"errors"
	"fmt"

	"loupe/probe/capture"
	"loupe/probe/store"
	"loupe/sae"
)

// Kind is the kind of a training's configuration file.
const Kind = "sae"

// Config says where the activations come from, which SAEs to train on them, and how.
type Config struct {
	Name  string `json:"name" doc:"name of the run"`
	Store string `json:"store" doc:"folder of the activation store; empty: model reads corpus"`
	capture.Reading
	Buffer           int     `json:"buffer" doc:"without a store: rows that are mixed with each other"`
	ExcludeSpecial   bool    `json:"exclude_special" doc:"leave out the rows of special tokens"`
	ExcludePositions []int32 `json:"exclude_positions" doc:"leave out the rows at these positions of their sequence, from 0"`
	ExcludeTokens    []int32 `json:"exclude_tokens" doc:"leave out the rows of these token ids"`
	sae.Weights
	Split        string `json:"split" doc:"split of the documents to train on; empty: all"`
	EvalSplit    string `json:"eval_split" doc:"split to evaluate on; empty: that of the training"`
	EvalTokens   int64  `json:"eval_tokens" doc:"rows to evaluate on at the end; 0: none"`
	MetricsEvery int64  `json:"metrics_every" doc:"steps between lines of metrics.jsonl"`
	TensorBoard  bool   `json:"tensorboard" doc:"write TensorBoard event files too, in the folder tensorboard of the run"`
	Grid
	Archs []string `json:"archs" doc:"architectures: an element of saes for each"`
	SAEs  []Entry  `json:"saes" inherit:"true" doc:"several grids of SAEs, each with the keys given here besides its own; seed is then that of the data's order"`
}

// Grid is an SAE for each site, width and seed.
type Grid struct {
	Site   string   `json:"site" doc:"site to train on, such as blocks.4.hook_resid_post"`
	Target string   `json:"target" doc:"transcoders: the site to write, with site as the one to read"`
	Sites  []string `json:"sites" doc:"sites to train on, an SAE for each; a crosscoder reads them all"`
	Pairs  []Pair   `json:"pairs" doc:"transcoders: sites to read and to write, an SAE for each pair; a cross-layer transcoder takes them all"`
	Widths []int    `json:"widths" doc:"numbers of latents, an SAE for each; empty: d_sae"`
	Seeds  []uint64 `json:"seeds" doc:"seeds of the initial dictionary, an SAE for each; empty: seed"`
	sae.Config
}

// Pair is what a transcoder reads and writes.
type Pair struct {
	Input  string `json:"input" doc:"site to read"`
	Target string `json:"target" doc:"site to write"`
}

// Entry is an element of saes.
type Entry struct {
	Label string `json:"label" doc:"what the names begin with; empty: the architecture"`
	Grid
}

// SetDefaults implements the defaults of an element of saes.
func (e *Entry) SetDefaults() { *e = Entry{Grid: Grid{Config: sae.DefaultConfig()}} }

// DefaultConfig returns OpenAI's TopK recipe without data; see [sae.DefaultConfig].
func DefaultConfig() Config {
	c := Config{Name: "sae", Reading: capture.DefaultReading(), Buffer: 1 << 17, ExcludeSpecial: true, EvalTokens: 200_000, MetricsEvery: 1, Grid: Grid{Config: sae.DefaultConfig()}}
	c.Model = ""
	return c
}

// Expand makes elements of saes out of archs.
func (c *Config) Expand() (out []map[string]any) {
	for _, arch := range c.Archs {
		out = append(out, map[string]any{"arch": arch})
	}
	c.Archs = nil
	return out
}

// Validate checks what does not depend on the data; the rest is checked by [Open].
func (c *Config) Validate() error {
	switch {
	case c.Store == "" && c.Model == "":
		return errors.New("store is not set; name the folder that `loupe capture` wrote, or model and corpus to train without a store")
	case c.Store != "" && c.Model != "":
		return fmt.Errorf("store %s and model %s are both set; keep the one that the activations come from", c.Store, c.Model)
	case c.Store == "" && c.Buffer < 1:
		return fmt.Errorf("buffer is %d; it must be at least 1 row", c.Buffer)
	case c.EvalTokens < 0:
		return fmt.Errorf("eval_tokens is %d; it must be 0 (no evaluation) or more", c.EvalTokens)
	case c.MetricsEvery < 1:
		return fmt.Errorf("metrics_every is %d; it must be 1 or more", c.MetricsEvery)
	}
	if err := c.Weights.Validate(); err != nil {
		return err
	}
	if c.sequence() > 0 && !c.Weights.None() {
		return fmt.Errorf("subsample and class_weights leave out rows, and %s reads whole sequences; leave them out", sae.ArchTemporal)
	}
	if c.Store == "" && !c.Weights.None() {
		return errors.New("subsample and class_weights need a store, which knows the tokens and documents beforehand; capture one, or leave them out")
	}
	if c.Store == "" {
		if err := c.Reading.Validate(); err != nil {
			return err
		}
	}
	_, err := c.members()
	return err
}

// selection chooses the configuration's rows of a split.
func (c *Config) selection(split string) store.Select {
	return store.Select{ExcludeSpecial: c.ExcludeSpecial, ExcludePositions: c.ExcludePositions, ExcludeTokens: c.ExcludeTokens, Split: split}
}

// evalSplit is the split to measure on.
func (c *Config) evalSplit() string {
	if c.EvalSplit == "" {
		return c.Split
	}
	return c.EvalSplit
}

// sequence is the number of tokens of a temporal SAE's sequences, 0 where none of the SAEs is temporal and the rows may come in
// any order.
func (c *Config) sequence() int {
	members, err := c.members()
	if err != nil {
		return 0
	}
	for _, m := range members {
		if m.Config.Arch == sae.ArchTemporal {
			return m.Config.Temporal.Context
		}
	}
	return 0
}

// single tells whether the configuration is one of a single SAE, whose files have no names.
func (c *Config) single() bool {
	return len(c.SAEs) == 0 && len(c.Archs) == 0 && len(c.Sites) == 0 && len(c.Pairs) == 0 && len(c.Widths) == 0 && len(c.Seeds) == 0
}
