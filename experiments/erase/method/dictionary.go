package method

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/probe/text"
	"loupe/sae"
)

// DictionaryConfig says how the autoencoder is trained that erasers of features share. It depends on the encoder and on nothing that is
// erased, so that one serves all concepts.
type DictionaryConfig struct {
	Layer    int        `json:"layer" doc:"blocks before the states; 0: two thirds of them"`
	Ordinary int        `json:"ordinary" doc:"documents of the Go library that are trained on besides the suite's fitting prompts"`
	Chars    int        `json:"chars" doc:"code points of a document, cut behind them"`
	Neutral  int        `json:"neutral" doc:"generated sentences that are trained on too"`
	SAE      sae.Config `json:"sae" doc:"the autoencoder and its training"`
	Cache    string     `json:"cache" doc:"folder in which trained autoencoders are kept; empty: only as long as the program runs"`
}

// DefaultDictionary is a budget of some seconds for MiniLM.
func DefaultDictionary() DictionaryConfig {
	c := DictionaryConfig{Ordinary: 400, Chars: 160, Neutral: 256, SAE: sae.DefaultConfig()}
	c.SAE.DSAE, c.SAE.K, c.SAE.Batch, c.SAE.LR, c.SAE.Tokens = 3072, 32, 1024, 2e-3, 400*1024
	return c
}

// Validate checks what needs no encoder.
func (c *DictionaryConfig) Validate() error {
	if c.Layer < 0 || c.Ordinary < 0 || c.Neutral < 0 || c.Chars < 1 {
		return fmt.Errorf("layer is %d, ordinary %d, neutral %d, chars %d; use 0 or more, and 1 or more characters", c.Layer, c.Ordinary, c.Neutral, c.Chars)
	}
	_, err := c.SAE.Resolve(max(c.SAE.DIn, 64)) // the width that the encoder gives is not known here
	return err
}

// At is the layer for an encoder.
func (c *DictionaryConfig) At(e *encoder.Encoder) int {
	if c.Layer == 0 {
		return max(1, 2*e.Layers()/3)
	}
	return c.Layer
}

// Texts are what the autoencoder is trained on: the fitting prompts of every concept of the suite, by its own name and its synonyms,
// and ordinary text.
func (c *DictionaryConfig) Texts(ctx context.Context, seed int64) ([]string, error) {
	domains, err := text.ErasureSuite()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range domains {
		for _, concept := range d.Concepts {
			out = append(out, texts(d.Prompts(concept, false))...)
			for _, s := range concept.Synonyms {
				out = append(out, texts(d.Named(s, false))...)
			}
		}
	}
	if c.Neutral > 0 {
		sentences, err := text.Neutral(seed, c.Neutral)
		if err != nil {
			return nil, err
		}
		out = append(out, sentences...)
	}
	if c.Ordinary == 0 {
		return out, nil
	}
	docs := text.DefaultCorpusConfig(text.KindGoRoot)
	docs.MaxDocs, docs.DocChars, docs.MinChars, docs.Seed = c.Ordinary, c.Chars, min(40, c.Chars), seed
	corpus, err := text.Open(docs)
	if err != nil {
		return nil, err
	}
	for d, err := range corpus.Docs(ctx) {
		if err != nil {
			return nil, err
		}
		out = append(out, d.Text)
	}
	return out, nil
}

// Dictionaries keeps the autoencoders that were trained, so that further concepts cost nothing. The zero value is empty.
type Dictionaries struct {
	mu      sync.Mutex
	trained map[string]*erase.SAECoder // by encoder, layer and digest
}

// Open trains the autoencoder of an encoder, or takes the one that was trained with equal settings before.
func (k *Dictionaries) Open(ctx context.Context, e *encoder.Encoder, c DictionaryConfig, seed int64) (*erase.SAECoder, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, err := c.Texts(ctx, seed)
	if err != nil {
		return nil, err
	}
	layer := c.At(e)
	cfg := c.SAE
	cfg.Seed = uint64(seed)
	if cfg, err = cfg.Resolve(e.Width()); err != nil {
		return nil, fmt.Errorf("method: dictionary: %w", err)
	}
	key, err := json.Marshal([]any{e.Model.Name, layer, seed, list, cfg})
	if err != nil {
		return nil, fmt.Errorf("method: dictionary: %w", err)
	}
	sum := sha256.Sum256(key)
	name := fmt.Sprintf("%s-layer%d-%s", filepath.Base(e.Model.Name), layer, hex.EncodeToString(sum[:6]))
	if s, ok := k.trained[name]; ok {
		return s, nil
	}
	s, err := c.read(name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		states, err := e.StatesAt(ctx, nil, layer, list)
		if err != nil {
			return nil, err
		}
		if s, err = trainSAE(ctx, e, Rows(states), cfg); err != nil {
			return nil, fmt.Errorf("method: dictionary of layer %d: %w", layer, err)
		}
		if c.Cache != "" {
			if err := s.Save(filepath.Join(c.Cache, name), nil); err != nil {
				return nil, err
			}
		}
	}
	coder, err := erase.NewSAECoder(s)
	if err != nil {
		return nil, err
	}
	if k.trained == nil {
		k.trained = make(map[string]*erase.SAECoder)
	}
	k.trained[name] = coder
	return coder, nil
}

// read reads an autoencoder from the cache; nil where it is not there.
func (c *DictionaryConfig) read(name string) (*sae.SAE, error) {
	if c.Cache == "" {
		return nil, nil
	}
	dir := filepath.Join(c.Cache, name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return sae.Load(dir)
}

// Rows are all tokens of states, one after the other [n, d].
func Rows(states []*encoder.State) *mat.Dense {
	var values []float64
	d := 0
	for _, s := range states {
		_, d = s.X.Dims()
		values = append(values, s.X.RawMatrix().Data...)
	}
	return mat.NewDense(len(values)/d, d, values)
}

func trainSAE(ctx context.Context, e *encoder.Encoder, x *mat.Dense, cfg sae.Config) (*sae.SAE, error) {
	data := make([]float32, 0, len(x.RawMatrix().Data))
	for _, v := range x.RawMatrix().Data {
		data = append(data, float32(v))
	}
	rows, err := sae.NewMemoryRows(data, e.Width(), cfg.Seed+1, 0)
	if err != nil {
		return nil, err
	}
	t, err := sae.Start(e.Engine.Backend(), cfg, rows)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.Train(ctx, rows, sae.TrainOptions{}); err != nil {
		return nil, err
	}
	return t.SAE()
}

// ordered are the states of texts as erase takes them.
func ordered(ctx context.Context, e *encoder.Encoder, layer int, list []string) ([]erase.Text, error) {
	states, err := e.StatesAt(ctx, nil, layer, list)
	if err != nil {
		return nil, err
	}
	out := make([]erase.Text, len(states))
	for i, s := range states {
		out[i] = s.Text()
	}
	return out, nil
}
