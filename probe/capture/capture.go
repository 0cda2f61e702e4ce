package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"loupe/internal/hub"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/probe/token"
)

// unlimited is the length of sequences for models that set no limit of their own, and the most that is taken unasked.
const unlimited = 1024

// Capture is a capture that is ready to run: everything that its Config names is loaded and checked.
type Capture struct {
	cfg       Config
	engine    *model.Engine
	model     *model.Model
	tok       *token.Tokenizer
	corpus    text.Corpus
	enc       *encoder
	maxLength int
	buckets   []int
	token     []column
	example   []column
}

// Open loads the model, tokenizer and corpus that cfg names. Close frees the model. [Capture.Run] needs a store to write.
func Open(ctx context.Context, b compute.Backend, cfg Config, log *slog.Logger) (*Capture, error) {
	if err := cfg.validateRows(); err != nil {
		return nil, err
	}
	corpus, err := text.Open(cfg.Corpus)
	if err != nil {
		return nil, err
	}
	path, err := hub.Resolve(ctx, cfg.Model, hub.Options{Offline: cfg.Offline})
	if err != nil {
		return nil, err
	}
	tok, err := token.Load(path)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(ctx, b, path, model.Options{DType: model.DType(cfg.Weights)})
	if err != nil {
		return nil, err
	}
	c, err := New(model.NewEngine(b, log), m, tok, corpus, cfg)
	if err != nil {
		return nil, errors.Join(err, m.Params.Free())
	}
	return c, nil
}

// New makes a capture of a loaded model, which stays the caller's and must have been loaded with the Weights of cfg.
func New(engine *model.Engine, m *model.Model, tok *token.Tokenizer, corpus text.Corpus, cfg Config) (*Capture, error) {
	if err := cfg.validateRows(); err != nil {
		return nil, err
	}
	c := &Capture{cfg: cfg, engine: engine, model: m, tok: tok, corpus: corpus}
	var err error
	if c.maxLength, err = longest(m.Spec, cfg.MaxLength); err != nil {
		return nil, err
	}
	if c.token, c.example, err = resolveSites(m.Spec, cfg.Sites); err != nil {
		return nil, err
	}
	switch {
	case len(c.example) > 0 && cfg.Packing:
		return nil, fmt.Errorf("capture: site %s has one value a sequence, and a pack holds several documents; switch packing off", c.example[0].site.Name)
	case len(c.example) > 0 && cfg.Overflow == Split:
		return nil, fmt.Errorf("capture: site %s has one value a document, and overflow: split makes several sequences of one; use truncate", c.example[0].site.Name)
	case cfg.Packing && !m.Spec.Causal:
		return nil, fmt.Errorf("capture: packing is for decoders: in a %s encoder every token would see the other documents of its pack; switch packing off", m.Spec.Family)
	}
	c.buckets = lengths(cfg.Buckets, c.maxLength)
	if cfg.Packing {
		c.buckets = []int{c.maxLength}
	}
	if top := c.buckets[len(c.buckets)-1]; top != c.maxLength {
		return nil, fmt.Errorf("capture: the largest bucket has %d tokens and max_length is %d; make them equal", top, c.maxLength)
	}
	if c.enc, err = newEncoder(tok, &cfg, c.maxLength, m.Spec.Vocab); err != nil {
		return nil, err
	}
	return c, nil
}

// Close frees the model's weights.
func (c *Capture) Close() error { return c.model.Params.Free() }

// Sites returns the columns of the store: token sites, then example sites.
func (c *Capture) Sites() []store.Site {
	var out []store.Site
	for _, x := range c.columns() {
		out = append(out, x.site)
	}
	return out
}

func (c *Capture) columns() []column { return slices.Concat(c.token, c.example) }

// captures lists what the model returns for the columns, each once.
func (c *Capture) captures() []model.Capture {
	return modelPlan(c.model.Spec, c.columns(), 1, 1, "").Captures
}

// longest is the length of the longest sequence.
func longest(spec *model.Spec, asked int) (int, error) {
	switch {
	case asked == 0 && spec.MaxPos == 0:
		return unlimited, nil
	case asked == 0:
		return min(spec.MaxPos, unlimited), nil
	case spec.MaxPos > 0 && asked > spec.MaxPos:
		return 0, fmt.Errorf("capture: max_length %d is more than this %s model's %d positions; lower it", asked, spec.Family, spec.MaxPos)
	}
	return asked, nil
}

// program compiles the plan of a batch's shape, or finds it compiled.
func (c *Capture) program(x *batch) (*model.Program, error) {
	p, err := c.engine.Compile(c.model.Spec, modelPlan(c.model.Spec, c.columns(), x.b, x.t, model.DType(c.cfg.Weights)))
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return p, nil
}

func (c *Capture) reader(labels []string) *reader {
	r := &reader{corpus: c.corpus, enc: c.enc, cfg: &c.cfg, maxLength: c.maxLength, buckets: c.buckets, labels: map[string]bool{}}
	for _, l := range labels {
		r.labels[l] = true
	}
	return r
}

// ModelID is the model's name in the store: the reference that the user gave, without the folders of this machine.
func (c *Capture) ModelID() string {
	if strings.HasPrefix(c.cfg.Model, "hf:") {
		return c.cfg.Model
	}
	return filepath.Base(c.cfg.Model)
}

// recorded is the configuration as the store keeps it: what the bytes depend on, and nothing of this machine.
func (c *Capture) recorded() (json.RawMessage, error) {
	cfg := c.cfg
	cfg.Store, cfg.Offline, cfg.Corpus.Offline = "", false, false
	cfg.Model = c.ModelID()
	if !strings.HasPrefix(cfg.Corpus.Path, "hf:") && cfg.Corpus.Path != "" {
		cfg.Corpus.Path = filepath.Base(cfg.Corpus.Path)
	}
	cfg.MaxLength, cfg.Buckets = c.maxLength, c.buckets
	b, err := json.Marshal(struct {
		Config
		Backend string `json:"backend"`
	}{cfg, c.engine.Backend().String()})
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return b, nil
}

// storeSpec is what the store says about the capture.
func (c *Capture) storeSpec(s scan) (store.Spec, error) {
	cfg, err := c.recorded()
	if err != nil {
		return store.Spec{}, err
	}
	normal := DefaultConfig()
	normal.Corpus = text.DefaultCorpusConfig(c.cfg.Corpus.Kind)
	defaults, err := json.Marshal(normal)
	if err != nil {
		return store.Spec{}, fmt.Errorf("capture: %w", err)
	}
	return store.Spec{
		Model:     store.Source{ID: c.ModelID(), Digest: c.model.Digest},
		Tokenizer: c.tok.Digest(),
		Corpus:    store.Source{ID: c.corpus.Name(), Digest: s.digest},
		Sites:     c.Sites(),
		Policy:    c.policy(),
		Labels:    s.labels,
		KeepText:  c.cfg.KeepText, ShardBytes: c.cfg.ShardBytes,
		Moments: store.MomentOptions{Off: !c.cfg.Moments.Keep, MaxCross: c.cfg.Moments.MaxCross, ClassCross: c.cfg.Moments.ClassCross},
		Config:  cfg, Defaults: defaults,
		Seeds: map[string]int64{"corpus": c.cfg.Corpus.Seed},
	}, nil
}

// policy says in words how text became rows.
func (c *Capture) policy() store.Policy {
	p := store.Policy{BOS: "as the template", Special: "none added", Padding: fmt.Sprintf("right, to %v", c.buckets), MaxLen: c.maxLength, Packing: "none, " + c.cfg.Overflow}
	if c.cfg.BOS == BOSPrepend {
		p.BOS = fmt.Sprintf("prepended (id %d)", c.tok.Specials().BOS)
	}
	if c.cfg.AddSpecial {
		p.Special = "template"
	}
	if c.cfg.Chat {
		p.Special = "chat template"
	}
	p.Special += ", rows " + map[string]string{Keep: "kept", Exclude: "left out"}[c.cfg.SpecialRows]
	if c.cfg.Packing {
		p.Packing = "packed, attention and positions cross documents"
	}
	return p
}

// openStore begins the store or goes on with it.
func (c *Capture) openStore(spec store.Spec, resume bool) (w writer, from position, resumed bool, err error) {
	dir := c.cfg.Store
	if resume {
		w, state, err := store.Resume(dir, spec)
		if err == nil {
			if len(state) == 0 {
				return w, position{}, true, nil
			}
			if err := json.Unmarshal(state, &from); err != nil {
				return nil, from, false, errors.Join(fmt.Errorf("capture: the position in %s: %w; capture it again", dir, err), w.Close())
			}
			return w, from, true, nil
		}
		if !errors.Is(err, store.ErrNoStore) {
			return nil, from, false, fmt.Errorf("capture: %w", err)
		}
		if err := removeTemporary(dir); err != nil {
			return nil, from, false, err
		}
	}
	created, err := store.Create(dir, spec)
	if err != nil {
		return nil, from, false, fmt.Errorf("capture: %w", err)
	}
	return created, from, false, nil
}

// removeTemporary removes what a capture leaves that was killed before its manifest existed.
func removeTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".manifest.json.tmp") {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("capture: %w", err)
			}
		}
	}
	return nil
}

// describe adds what the manifest of the finished store says.
func (c *Capture) describe(s *Summary) error {
	st, err := store.Open(c.cfg.Store, store.OpenOptions{ModelDigest: c.model.Digest})
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	m := st.Manifest()
	s.Shards, s.RowDigest, s.Bytes = len(m.Shards), m.RowDigest, 0
	for _, shard := range m.Shards {
		for _, f := range []*store.File{shard.Token, shard.Example} {
			if f != nil {
				s.Bytes += f.Bytes
			}
		}
	}
	if s.Documents, s.Rows, s.Examples = m.Docs, m.Rows, m.Examples; s.Cells > 0 {
		s.Padding = 1 - float64(s.Tokens)/float64(s.Cells)
	}
	return st.Close()
}
