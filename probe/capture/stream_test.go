package capture

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/store"
	"loupe/probe/text"
)

// streamed is one row of a stream.
type streamed struct {
	doc, pos int64
	token    int32
	special  bool
	x        []float32
}

// collect reads a stream to its end, or to a number of batches, and returns the rows of its first site and the states after
// every batch.
func collect(t *testing.T, s *Stream, width, batches int) (rows []streamed, states [][]byte) {
	t.Helper()
	defer s.Close()
	for batches != 0 {
		b, err := s.Next()
		if errors.Is(err, io.EOF) {
			return rows, states
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows.Doc {
			at := int(b.Rows.Take[i])
			rows = append(rows, streamed{b.Rows.Doc[i], int64(b.Rows.Pos[i]), b.Rows.Token[i], b.Rows.Special[i], slices.Clone(b.Rows.Sites[0][at*width : (at+1)*width])})
		}
		states = append(states, b.State)
		batches--
	}
	return rows, states
}

func sameRows(t *testing.T, what string, got, want []streamed) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.doc != w.doc || g.pos != w.pos || g.token != w.token || g.special != w.special || !slices.Equal(g.x, w.x) {
			t.Fatalf("%s: row %d is %+v, want %+v", what, i, g, w)
		}
	}
}

// TestStream wants the rows of a store, bit for bit and in its order; the same from the state after any batch; and, of a
// split, the rows of its documents alone.
func TestStream(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 120, 40)
	cfg := f.cfg
	cfg.Corpus.HeldOut = 0.3
	cfg.Sites = sites("blocks.0.hook_resid_post")
	_, st := f.run(t, cfg, RunOptions{})
	site, err := st.Site("blocks.0.hook_resid_post")
	if err != nil {
		t.Fatal(err)
	}
	d := site.Dim()
	all := rowRange(st.Rows())
	meta, err := st.TokenRows(all)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, len(all)*d)
	if err := st.Gather(x, site.Name, all); err != nil {
		t.Fatal(err)
	}
	var want []streamed
	for i, r := range meta {
		want = append(want, streamed{r.Doc, int64(r.Pos), r.Token, r.Special, x[i*d : (i+1)*d]})
	}

	cfg.Store = ""
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	begin := func(split string, state []byte) *Stream {
		s, err := c.Stream(t.Context(), split, state)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	got, states := collect(t, begin("", nil), d, -1)
	sameRows(t, "whole", got, want)
	if len(states) < 10 {
		t.Fatalf("%d batches; the test needs more", len(states))
	}
	for _, n := range []int{1, 5, len(states) - 1, len(states)} {
		head, at := collect(t, begin("", nil), d, n)
		tail, _ := collect(t, begin("", at[n-1]), d, -1)
		sameRows(t, "resumed", slices.Concat(head, tail), want)
	}

	splits := map[int64]string{}
	for id, doc := range docs(t, cfg) {
		splits[id] = doc.Split
	}
	held, heldStates := collect(t, begin(text.HeldOut, nil), d, -1)
	seen := map[[2]int64]bool{}
	for _, r := range held {
		if splits[r.doc] != text.HeldOut {
			t.Fatalf("document %d is of split %q", r.doc, splits[r.doc])
		}
		seen[[2]int64{r.doc, r.pos}] = true
	}
	n := 0
	for _, r := range want {
		if splits[r.doc] == text.HeldOut {
			n++
		}
	}
	if n == 0 || len(held) != n || len(seen) != n {
		t.Errorf("%d rows of held-out documents, %d different; the store has %d", len(held), len(seen), n)
	}
	tail, _ := collect(t, begin(text.HeldOut, heldStates[0]), d, -1)
	head, _ := collect(t, begin(text.HeldOut, nil), d, 1)
	sameRows(t, "resumed split", slices.Concat(head, tail), held)

	if _, err := c.Run(t.Context(), RunOptions{}); err == nil || !strings.Contains(err.Error(), "store is empty") {
		t.Errorf("a capture without a store: %v", err)
	}
	if _, err := c.Stream(t.Context(), "", []byte("{")); err == nil {
		t.Error("a damaged position")
	}
}

// TestStreamClosed closes streams at every stage; Next after that is an error, and nothing hangs.
func TestStreamClosed(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 40, 20)
	cfg := f.cfg
	cfg.Sites, cfg.Store = sites("hook_embed"), ""
	c, err := f.capture(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		s, err := c.Stream(t.Context(), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if _, err := s.Next(); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		s.Close()
		if _, err := s.Next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Next after Close: %v", err)
		}
	}
	var b store.Batch
	s, err := c.Stream(t.Context(), "", nil)
	for err == nil {
		b, err = s.Next()
	}
	if !errors.Is(err, io.EOF) || b.Rows.Doc != nil {
		t.Errorf("at the end: %v", err)
	}
	if _, err := s.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	s.Close()
}
