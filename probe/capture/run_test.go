package capture

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/probe/store"
)

// breaker is a store's writer that fails, or cancels the context, at the nth Append.
type breaker struct {
	writer
	left   int
	err    error
	cancel context.CancelFunc
}

func (b *breaker) Append(ctx context.Context, batch store.Batch) error {
	b.left--
	if b.left < 0 && b.err != nil {
		return b.err
	}
	if b.left < 0 && b.cancel != nil {
		b.cancel()
	}
	return b.writer.Append(ctx, batch)
}

// resumeOverAndOver runs a capture that is cancelled after every few batches, until it is complete.
func resumeOverAndOver(t *testing.T, f *fixture, cfg Config) {
	t.Helper()
	stops := 0
	for batches := 1; ; batches += 2 {
		c, err := f.capture(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = c.Run(ctx, RunOptions{Resume: true, wrap: func(w writer) writer { return &breaker{writer: w, left: batches, cancel: cancel} }})
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "--resume goes on with it") {
			t.Fatalf("got %v", err)
		}
		if _, err := store.Open(cfg.Store, store.OpenOptions{}); !errors.Is(err, store.ErrIncomplete) {
			t.Fatalf("after an interruption the store is not incomplete: %v", err)
		}
		stops++
	}
	if stops < 2 {
		t.Fatalf("%d interruptions; the test needs more", stops)
	}
}

func TestCancelAndResume(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 80, 60)
	cfg := f.cfg
	cfg.Sites, cfg.ShardBytes, cfg.Overflow = sites("blocks.0.hook_resid_post", "blocks.1.mlp.hook_post"), 40_000, Split
	unbroken, _ := f.run(t, cfg, RunOptions{})
	want := digests(t, cfg.Store)
	cfg.Store = filepath.Join(t.TempDir(), "resumed")
	resumeOverAndOver(t, f, cfg)
	compareFiles(t, want, digests(t, cfg.Store), "")
	if unbroken.Sequences <= unbroken.Documents || unbroken.Truncated != 0 {
		t.Errorf("no document was split: %+v", unbroken)
	}
}

func TestFailingWriter(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 80, 30)
	cfg := f.cfg
	cfg.Sites, cfg.ShardBytes = sites("blocks.0.hook_resid_post"), 20_000
	for n := range 4 {
		cfg.Store = filepath.Join(t.TempDir(), "store")
		c, err := f.capture(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		full := fmt.Errorf("write: %w", syscall.ENOSPC)
		_, err = c.Run(t.Context(), RunOptions{wrap: func(w writer) writer { return &breaker{writer: w, left: n, err: full} }})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "--resume goes on") {
			t.Errorf("after %d batches: got %v", n, err)
		}
		if _, err := store.Open(cfg.Store, store.OpenOptions{}); !errors.Is(err, store.ErrIncomplete) {
			t.Errorf("after %d batches the store opens: %v", n, err)
		}
	}
}

// TestFileSizeLimit gives a child a limit on the size of files, so that a write fails as on a full disk.
func TestFileSizeLimit(t *testing.T) {
	cfg := childConfig(t, 300, 40)
	out, err := childCommand(t, childTask{Config: cfg, FileSize: 60_000}).CombinedOutput()
	if err == nil {
		t.Fatalf("the capture went through:\n%s", out)
	}
	for _, want := range []string{"store: write", "file too large", "make room on the disk", "unfinished"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the error lacks %q:\n%s", want, out)
		}
	}
	if _, err := store.Open(cfg.Store, store.OpenOptions{}); !errors.Is(err, store.ErrIncomplete) {
		t.Errorf("the store opens: %v", err)
	}
	resumed := runChild(t, childTask{Config: cfg, Resume: true})
	whole := cfg
	whole.Store = filepath.Join(t.TempDir(), "whole")
	if unbroken := runChild(t, childTask{Config: whole}); unbroken.RowDigest != resumed.RowDigest {
		t.Error("the resumed store has other rows")
	}
	compareFiles(t, digests(t, whole.Store), digests(t, cfg.Store), "")
}

func TestNaN(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 30, 20)
	bias := f.model.Params.Get("blocks.2.b_out")
	broken := make([]float32, bias.Shape().Size())
	broken[5] = float32(math.NaN())
	params, err := f.model.Params.With(map[string]*tensors.Tensor{"blocks.2.b_out": tensors.FromFlatDataAndDimensions(broken, len(broken))})
	if err != nil {
		t.Fatal(err)
	}
	m := *f.model
	m.Params = params
	f.model = &m
	cfg := f.cfg
	cfg.Sites = sites("blocks.1.hook_resid_post", "blocks.2.hook_mlp_out")
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Run(t.Context(), RunOptions{})
	if err == nil {
		t.Fatal("NaN went through")
	}
	for _, want := range []string{"site blocks.2.hook_mlp_out", "NaN", "document ", "position 0", "dimension 5"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if _, err := store.Open(cfg.Store, store.OpenOptions{}); !errors.Is(err, store.ErrIncomplete) {
		t.Errorf("the store opens: %v", err)
	}
}

func TestResumeRefuses(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 60, 30)
	other := newFixture(t, graphtest.Backend(t), "distilbert", 3, 3)
	cfg := f.cfg
	cfg.Sites, cfg.ShardBytes = sites("blocks.0.hook_resid_post"), 10_000
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), RunOptions{wrap: func(w writer) writer { return &breaker{writer: w, left: 3, err: errors.New("stop")} }}); err == nil {
		t.Fatal("the capture was not interrupted")
	}
	for _, tc := range []struct {
		name   string
		f      *fixture
		change func(*Config)
		want   []string
	}{
		{"model", other, func(c *Config) { c.Model = "distilbert" }, []string{"model was", f.model.Digest, other.model.Digest, `"bert"`, `"distilbert"`}},
		{"batch", f, func(c *Config) { c.BatchTokens = 128 }, []string{"config.batch_tokens was 256 and is 128"}},
		{"site", f, func(c *Config) { c.Sites = sites("blocks.1.hook_resid_post") }, []string{"sites", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"}},
		{"corpus", f, func(c *Config) { c.Corpus.MaxDocs = 50 }, []string{"corpus was"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			changed := cfg
			tc.change(&changed)
			tok := tc.f.tok
			tc.f.tok = f.tok
			c, err := tc.f.capture(t, changed)
			tc.f.tok = tok
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Run(t.Context(), RunOptions{Resume: true})
			if err == nil {
				t.Fatal("the capture went on")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
		})
	}
	c, err = f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), RunOptions{}); err == nil || !strings.Contains(err.Error(), "is not empty; resume it") {
		t.Errorf("without resume: %v", err)
	}
	if _, err := c.Run(t.Context(), RunOptions{Resume: true}); err != nil {
		t.Errorf("the same capture: %v", err)
	}
}

func TestMaxTokens(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 300, 30)
	cfg := f.cfg
	cfg.Sites, cfg.Window = sites("hook_embed"), 1
	for _, limit := range []int64{1500, 37} {
		cfg.MaxTokens, cfg.Store = limit, filepath.Join(t.TempDir(), "store")
		sum, s := f.run(t, cfg, RunOptions{})
		if sum.Tokens > limit || sum.Tokens < limit-40 || s.Rows() != sum.Tokens {
			t.Errorf("limit %d: %d tokens", limit, sum.Tokens)
		}
		d, err := s.Docs()
		if err != nil {
			t.Fatal(err)
		}
		if d.ID[d.Len()-1] != int64(d.Len()-1) {
			t.Errorf("limit %d: the documents are not the first %d", limit, d.Len())
		}
	}
	cfg.MaxTokens, cfg.Store = 1, filepath.Join(t.TempDir(), "none")
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Run(t.Context(), RunOptions{}); err == nil || !strings.Contains(err.Error(), "max_tokens 1 is less than the first document has") {
		t.Errorf("got %v", err)
	}
}
