package training

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/capture"
	"loupe/probe/capture/capturetest"
	"loupe/probe/store"
	"loupe/probe/text"
)

const (
	siteA = "blocks.0.hook_resid_post"
	siteB = "blocks.0.hook_mlp_out"
)

// readingOf is a tiny BERT's reading of a generated corpus of docs documents.
func readingOf(t testing.TB, docs int) capture.Reading {
	t.Helper()
	r := capture.DefaultReading()
	r.Model = capturetest.ModelFolder(t, "bert", 230)
	r.Corpus = text.DefaultCorpusConfig(text.KindJSONL)
	r.Corpus.Path = filepath.Join(t.TempDir(), "corpus.jsonl")
	r.Corpus.HeldOut = 0.3
	capturetest.WriteCorpus(t, r.Corpus.Path, 7, docs, 24, 230)
	r.Buckets, r.MaxLength, r.BatchTokens, r.Window = []int{16, 32}, 32, 256, 3
	return r
}

// openCapture opens a capture of both sites; dir is the store to write, if any.
func openCapture(t testing.TB, r capture.Reading, dir string) *capture.Capture {
	t.Helper()
	cfg := capture.DefaultConfig()
	cfg.Reading, cfg.Store, cfg.Moments.Keep = r, dir, false
	for _, s := range []string{siteA, siteB} {
		cfg.Sites = append(cfg.Sites, capture.SiteConfig{Site: s, Reduce: capture.Tokens, DType: string(store.Float32)})
	}
	c, err := capture.Open(t.Context(), graphtest.Backend(t), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func openStream(t testing.TB, c *capture.Capture, cfg StreamConfig) *StreamSource {
	t.Helper()
	s, err := NewStreamSource(t.Context(), c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// batch reads up to n rows of both sites, each row's values as one string.
func batch(t testing.TB, s *StreamSource, n int) []string {
	t.Helper()
	sites := s.Sites()
	dst := make([][]float32, len(sites))
	for i, site := range sites {
		dst[i] = make([]float32, n*site.Width)
	}
	got, err := s.Next(dst)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return rowsOf(dst, []int{sites[0].Width, sites[1].Width}, got)
}

func rowsOf(x [][]float32, widths []int, n int) []string {
	out := make([]string, n)
	for r := range n {
		out[r] = fmt.Sprint(x[0][r*widths[0]:(r+1)*widths[0]], x[1][r*widths[1]:(r+1)*widths[1]])
	}
	return out
}

// TestStreamEqualsStore wants each run of a stream through the corpus to give exactly the rows, bit for bit, that a store of
// the same plan holds, mixed differently each time.
func TestStreamEqualsStore(t *testing.T) {
	r := readingOf(t, 60)
	dir := filepath.Join(t.TempDir(), "store")
	c := openCapture(t, r, dir)
	if _, err := c.Run(t.Context(), capture.RunOptions{}); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(dir, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for name, sel := range map[string]store.Select{"all": {}, "selected": {ExcludeSpecial: true, Split: text.HeldOut}} {
		t.Run(name, func(t *testing.T) {
			set, err := st.Select(t.Context(), sel)
			if err != nil {
				t.Fatal(err)
			}
			n := int(set.Len())
			index := set.Append(nil, 0, n)
			var x [2][]float32
			widths := make([]int, 2)
			for i, name := range []string{siteA, siteB} {
				info, err := st.Site(name)
				if err != nil {
					t.Fatal(err)
				}
				widths[i] = info.Dim()
				x[i] = make([]float32, n*widths[i])
				if err := st.Gather(x[i], name, index); err != nil {
					t.Fatal(err)
				}
			}
			inOrder := rowsOf(x[:], widths, n)
			want := slices.Sorted(slices.Values(inOrder))
			if sel.Split != "" { // other batches, and so other last bits of the same rows
				want = nil
			}
			src := openStream(t, c, StreamConfig{Select: sel, Seed: 5, Buffer: n/3 + 1})
			var epochs [][]string
			for range 3 {
				var got []string
				for len(got) < n {
					got = append(got, batch(t, src, min(37, n-len(got)))...)
				}
				epochs = append(epochs, got)
				sorted := slices.Sorted(slices.Values(got))
				if want == nil {
					want = sorted
				}
				if !slices.Equal(sorted, want) {
					t.Fatalf("a run through the corpus gives other rows than the store's %d", n)
				}
			}
			if slices.Equal(epochs[0], inOrder) || slices.Equal(epochs[0], epochs[1]) {
				t.Error("the rows are not mixed, or always the same way")
			}
			if len(slices.Compact(slices.Clone(want))) < n*9/10 {
				t.Error("rows are alike: the comparison sees little")
			}
			other := openStream(t, c, StreamConfig{Select: sel, Seed: 6, Buffer: n/3 + 1, Once: true})
			var got []string
			for {
				rows := batch(t, other, 50)
				if len(rows) == 0 {
					break
				}
				got = append(got, rows...)
			}
			if slices.Equal(got, epochs[0]) || !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				t.Error("with once and another seed: not the same rows in another order")
			}
		})
	}
}

// TestStreamRestart goes on from the state after every batch, as JSON, in a new source and in one that stands elsewhere, and
// compares what follows over the end of the corpus.
func TestStreamRestart(t *testing.T) {
	c := openCapture(t, readingOf(t, 25), "")
	cfg := StreamConfig{Select: store.Select{ExcludeSpecial: true}, Seed: 1, Buffer: 60}
	src := openStream(t, c, cfg)
	var states [][]byte
	var batches [][]string
	epochs := map[int64]bool{}
	for len(epochs) < 3 {
		state, err := src.State()
		if err != nil {
			t.Fatal(err)
		}
		var st streamState
		if err := json.Unmarshal(state, &st); err != nil {
			t.Fatal(err)
		}
		epochs[st.Epoch] = true
		states, batches = append(states, state), append(batches, batch(t, src, 23))
	}
	elsewhere := openStream(t, c, cfg)
	for i := 0; i < len(states); i += 3 {
		for name, again := range map[string]*StreamSource{"new": openStream(t, c, cfg), "elsewhere": elsewhere} {
			if err := again.Restore(states[i]); err != nil {
				t.Fatal(err)
			}
			for j := i; j < min(i+5, len(states)); j++ {
				if state, err := again.State(); err != nil || string(state) != string(states[j]) {
					t.Fatalf("%s: restored at batch %d, the state before batch %d is %s, want %s (%v)", name, i, j, state, states[j], err)
				}
				if got := batch(t, again, 23); !slices.Equal(got, batches[j]) {
					t.Fatalf("%s: restored at batch %d, batch %d differs", name, i, j)
				}
			}
		}
	}
	t.Logf("%d batches over %d runs through the corpus", len(batches), len(epochs))
	for bad, want := range map[string]string{
		"{": "cursor of the data",
		strings.Replace(string(states[1]), `\"Seed\":1`, `\"Seed\":2`, 1):   "was saved for",
		strings.Replace(string(states[1]), `"given":23`, `"given":2300`, 1): "lies outside",
	} {
		if err := elsewhere.Restore([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", bad, err, want)
		}
	}
}

func TestStreamErrors(t *testing.T) {
	c := openCapture(t, readingOf(t, 5), "")
	for want, cfg := range map[string]StreamConfig{
		"select by group or label": {Select: store.Select{Group: "g"}, Buffer: 1},
		"buffer is 0 rows":         {},
	} {
		if _, err := NewStreamSource(t.Context(), c, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	dst := [][]float32{make([]float32, 64*100), make([]float32, 64*100)}
	for _, once := range []bool{false, true} {
		src := openStream(t, c, StreamConfig{Select: store.Select{Split: "dev"}, Buffer: 10, Once: once})
		for range 2 {
			if _, err := src.Next(dst); err == nil || !strings.Contains(err.Error(), `no rows of split "dev"`) {
				t.Errorf("a split that is not there: %v", err)
			}
		}
	}
}
