package capture

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/text"
)

// Kind is the kind of a capture's configuration file.
const Kind = "capture"

// What becomes of documents with more tokens than MaxLength.
const (
	Truncate = "truncate" // the rest is left out
	Split    = "split"    // the rest goes into further sequences
	Refuse   = "error"    // the capture stops
)

// How a site of a sequence becomes rows of the store.
const (
	Tokens = "tokens" // a row for every token
	Mean   = "mean"   // the mean over the sequence's tokens, special ones included
	First  = "first"  // the first token, such as [CLS]
	Last   = "last"   // the last token
)

// What happens with rows of special tokens.
const (
	Keep    = "keep"    // they are stored, flagged in the column special
	Exclude = "exclude" // the model reads them, the store does not keep them
)

// How a beginning-of-sequence token is set.
const (
	BOSTemplate = "template" // where the tokenizer's template puts one
	BOSPrepend  = "prepend"  // first in every sequence, once
)

// Reading says which model reads which text, and how.
type Reading struct {
	Model   string            `json:"model" doc:"model: minilm, smollm2, a folder, a .gguf file, or hf:org/name@rev"`
	Weights string            `json:"weights" enum:"float32,bfloat16" doc:"how the model's matrices are kept in memory; computing is in float32"`
	Offline bool              `json:"offline" doc:"never use the network to find the model"`
	Corpus  text.CorpusConfig `json:"corpus" doc:"the text"`

	MaxLength   int    `json:"max_length" doc:"longest sequence in tokens, special ones included; 0: the model's own limit, at most 1024"`
	Overflow    string `json:"overflow" enum:"truncate,split,error" doc:"documents that are longer: cut them, go on in further sequences, or stop"`
	Packing     bool   `json:"packing" doc:"fill sequences with several documents (decoders only; attention crosses their boundaries)"`
	Buckets     []int  `json:"buckets" doc:"padded lengths, ascending, one compile each; empty: 16, 24, 32, 48, 64, 96 ... up to max_length"`
	BatchTokens int    `json:"batch_tokens" doc:"tokens of a batch that the model reads, padding included"`
	Window      int    `json:"window" doc:"batches' worth of tokens that are sorted by length together"`
	MaxTokens   int64  `json:"max_tokens" doc:"end before the document that would bring the tokens read above this; 0: no limit"`

	AddSpecial bool   `json:"add_special" doc:"add the special tokens of the tokenizer's template, such as [CLS] and [SEP]"`
	BOS        string `json:"bos" enum:"template,prepend" doc:"beginning-of-sequence token: what the template does, or first in every sequence"`
	Chat       bool   `json:"chat" doc:"put each document into the model's chat template as a user message"`
}

// Config says what to capture from what.
type Config struct {
	Reading
	Labels []string     `json:"labels" doc:"label columns to keep; empty: every label of the documents with at most 1024 classes"`
	Sites  []SiteConfig `json:"sites" doc:"what to capture"`

	SpecialRows string `json:"special_rows" enum:"keep,exclude" doc:"keep rows of special tokens (flagged in the column special) or leave them out"`

	Store      string        `json:"store" doc:"folder of the store"`
	ShardBytes int64         `json:"shard_bytes" doc:"size at which a shard of the store is finished"`
	KeepText   bool          `json:"keep_text" doc:"keep the documents' text in the store; otherwise only its digest"`
	Moments    MomentsConfig `json:"moments" doc:"means and second moments of every site"`
}

// SiteConfig is a site to capture, or several by a pattern.
type SiteConfig struct {
	Site   string  `json:"site" doc:"TransformerLens name, such as blocks.3.hook_resid_post; * stands for any run of characters"`
	Reduce string  `json:"reduce" enum:"tokens,mean,first,last" doc:"a row for every token, or one for each document: the mean over its tokens, its first or its last token; sites such as sentence have one a document anyway"`
	DType  string  `json:"dtype" enum:"float32,float16" doc:"how values are stored"`
	Scale  float64 `json:"scale" doc:"float16: divisor of the values; 0: chosen from the first shard"`
}

// SetDefaults sets what a list element of a configuration file leaves out.
func (s *SiteConfig) SetDefaults() { s.Reduce, s.DType = Tokens, string(store.Float32) }

// MomentsConfig says which moments the store keeps.
type MomentsConfig struct {
	Keep       bool `json:"keep" doc:"keep moments"`
	MaxCross   int  `json:"max_cross" doc:"greatest width of a site for which the matrix of cross moments is kept; -1: none"`
	ClassCross bool `json:"class_cross" doc:"keep the matrix for every class of a label too"`
}

// DefaultReading returns MiniLM over the Go standard library's documentation.
func DefaultReading() Reading {
	return Reading{
		Model: "minilm", Weights: string(model.Float32), Corpus: text.DefaultCorpusConfig(text.KindGoRoot),
		Overflow: Truncate, BatchTokens: 4096, Window: 64, AddSpecial: true, BOS: BOSTemplate,
	}
}

// DefaultConfig returns MiniLM over the Go standard library's documentation with no sites, which the caller adds.
func DefaultConfig() Config {
	return Config{
		Reading: DefaultReading(), SpecialRows: Keep,
		ShardBytes: 64 << 20, Moments: MomentsConfig{Keep: true, MaxCross: 2048},
	}
}

func bad(key string, got any, cure string) error {
	return fmt.Errorf("capture: %s is %v; %s", key, got, cure)
}

// Validate checks the values and names the first wrong one.
func (r *Reading) Validate() error {
	switch {
	case r.Model == "":
		return bad("model", "empty", "name a model: minilm, smollm2, a folder, a .gguf file or hf:org/name@rev")
	case r.Weights != string(model.Float32) && r.Weights != string(model.BFloat16):
		return bad("weights", r.Weights, "use float32 or bfloat16")
	case !slices.Contains([]string{Truncate, Split, Refuse}, r.Overflow):
		return bad("overflow", r.Overflow, "use truncate, split or error")
	case r.MaxLength < 0 || r.MaxLength > 1<<20:
		return bad("max_length", r.MaxLength, "use 0 for the model's own limit, or up to 1048576")
	case r.BatchTokens < 1 || r.BatchTokens > 1<<24:
		return bad("batch_tokens", r.BatchTokens, "use 1 to 16777216")
	case r.Window < 1 || r.Window > 1<<12:
		return bad("window", r.Window, "use 1 to 4096 batches")
	case r.MaxTokens < 0:
		return bad("max_tokens", r.MaxTokens, "use 0 for no limit")
	case r.BOS != BOSTemplate && r.BOS != BOSPrepend:
		return bad("bos", r.BOS, "use template or prepend")
	case r.Chat && r.Packing:
		return bad("chat", r.Chat, "a chat is one document a sequence; switch packing off")
	case r.Chat && r.BOS == BOSPrepend:
		return bad("bos", r.BOS, "a chat template sets its own; use template")
	case r.Packing && r.Overflow == Refuse:
		return bad("overflow", r.Overflow, "packed documents go on in the next pack; use split, or truncate")
	case r.Packing && len(r.Buckets) > 0:
		return bad("buckets", r.Buckets, "packs all have max_length tokens; leave buckets out")
	}
	for i, n := range r.Buckets {
		if n < 1 || i > 0 && n <= r.Buckets[i-1] {
			return bad("buckets", r.Buckets, "list positive lengths, each greater than the one before")
		}
	}
	return r.Corpus.Validate()
}

// Validate checks the values and names the first wrong one.
func (c *Config) Validate() error {
	switch {
	case c.Store == "":
		return bad("store", "empty", "name the folder of the store to be written")
	case c.ShardBytes < 1:
		return bad("shard_bytes", c.ShardBytes, "use at least 1")
	}
	return c.validateRows()
}

// validateRows checks everything but the store.
func (c *Config) validateRows() error {
	if err := c.Reading.Validate(); err != nil {
		return err
	}
	switch {
	case len(c.Sites) == 0:
		return bad("sites", "empty", "name at least one, such as blocks.3.hook_resid_post")
	case c.SpecialRows != Keep && c.SpecialRows != Exclude:
		return bad("special_rows", c.SpecialRows, "use keep or exclude")
	}
	for i, s := range c.Sites {
		if err := s.validate(); err != nil {
			return fmt.Errorf("capture: sites.%d: %w", i, err)
		}
	}
	return nil
}

func (s SiteConfig) validate() error {
	switch {
	case s.Site == "":
		return errors.New("site is empty; name one, such as blocks.3.hook_resid_post")
	case !slices.Contains([]string{Tokens, Mean, First, Last}, s.Reduce):
		return fmt.Errorf("reduce is %q; use %s", s.Reduce, strings.Join([]string{Tokens, Mean, First, Last}, ", "))
	case s.DType != string(store.Float32) && s.DType != string(store.Float16):
		return fmt.Errorf("dtype is %q; use float32 or float16", s.DType)
	case s.Scale != 0 && s.DType != string(store.Float16):
		return fmt.Errorf("scale is %v; it is for float16 only", s.Scale)
	}
	return nil
}
