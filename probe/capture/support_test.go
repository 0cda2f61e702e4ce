package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"loupe/internal/graphtest"
	"loupe/probe/capture/capturetest"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/probe/token"
)

// wordTokenizer returns the tokenizer of tokenizerFile, with its special tokens named.
func wordTokenizer(t testing.TB, n int) *token.Tokenizer {
	t.Helper()
	dir := t.TempDir()
	capturetest.WriteTokenizer(t, dir, n)
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// fixture is a tiny model with a tokenizer and a corpus.
type fixture struct {
	engine *model.Engine
	model  *model.Model
	tok    *token.Tokenizer
	cfg    Config // of the corpus; Sites and Store are to be set
}

func newFixture(t testing.TB, b compute.Backend, name string, docs, longest int) *fixture {
	t.Helper()
	f := &fixture{engine: model.NewEngine(b, nil), cfg: DefaultConfig()}
	var err error
	f.model, err = model.Load(t.Context(), b, filepath.Join(graphtest.Golden(t), "models", "tiny", name), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.model.Params.Free() })
	f.tok = wordTokenizer(t, f.model.Spec.Vocab)
	dir := t.TempDir()
	capturetest.WriteCorpus(t, filepath.Join(dir, "corpus.jsonl"), 1, docs, longest, f.model.Spec.Vocab)
	f.cfg.Model = name
	f.cfg.Corpus = text.DefaultCorpusConfig(text.KindJSONL)
	f.cfg.Corpus.Path, f.cfg.Corpus.LabelFields = filepath.Join(dir, "corpus.jsonl"), []string{"parity"}
	f.cfg.BatchTokens, f.cfg.Window = 256, 4
	f.cfg.Store = filepath.Join(t.TempDir(), "store")
	return f
}

func (f *fixture) capture(t testing.TB, cfg Config) (*Capture, error) {
	t.Helper()
	corpus, err := text.Open(cfg.Corpus)
	if err != nil {
		t.Fatal(err)
	}
	return New(f.engine, f.model, f.tok, corpus, cfg)
}

// run captures and opens the store.
func (f *fixture) run(t testing.TB, cfg Config, opt RunOptions) (Summary, *store.Store) {
	t.Helper()
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := c.Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return sum, openStore(t, cfg.Store)
}

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// docs reads the corpus of a configuration by document id.
func docs(t testing.TB, cfg Config) map[int64]text.Doc {
	t.Helper()
	corpus, err := text.Open(cfg.Corpus)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int64]text.Doc{}
	for d, err := range corpus.Docs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out[d.ID] = d
	}
	return out
}

func sites(names ...string) []SiteConfig {
	var out []SiteConfig
	for _, n := range names {
		var s SiteConfig
		s.SetDefaults()
		s.Site, s.Reduce, _ = strings.Cut(n, "@")
		if s.Reduce == "" {
			s.Reduce = Tokens
		}
		out = append(out, s)
	}
	return out
}

// digests maps every file below dir to its SHA-256.
func digests(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		sum := sha256.Sum256(b)
		out[rel] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rowRange lists the token rows of a store.
func rowRange(n int64) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i)
	}
	return out
}
