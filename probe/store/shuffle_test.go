package store

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wideStore has docs documents of length rows each, with one value a row: the row's number.
func wideStore(t testing.TB, docs, length int) *Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "s")
	w, err := Create(dir, Spec{
		Model: Source{ID: "m", Digest: "m"}, ShardBytes: 200000, Moments: MomentOptions{Off: true},
		Sites: []Site{{Name: "x", Per: Token, Shape: []int{1}, DType: Float32}},
	})
	if err != nil {
		t.Fatal(err)
	}
	row := 0
	for d := range docs {
		b := Batch{Docs: []Doc{{ID: int64(d), Split: []string{"train", "test"}[d%2]}}, Rows: Rows{Sites: make([][]float32, 1)}}
		for p := range length {
			b.Rows.Doc, b.Rows.Pos, b.Rows.Token = append(b.Rows.Doc, int64(d)), append(b.Rows.Pos, int32(p)), append(b.Rows.Token, 1)
			b.Rows.Special = append(b.Rows.Special, p == 0)
			b.Rows.Sites[0] = append(b.Rows.Sites[0], float32(row))
			row++
		}
		if err := w.Append(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

// TestShuffleIsAPermutation reads three epochs in batches that do not divide them: each row comes once in each.
func TestShuffleIsAPermutation(t *testing.T) {
	s := wideStore(t, 100, 37)
	test, err := s.Select(context.Background(), Select{ExcludeSpecial: true, Split: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]ShuffleConfig{
		"one window":   {Seed: 1},
		"many windows": {Seed: 2, Block: 8, Buffer: 100},
		"block 1":      {Seed: 3, Block: 1, Buffer: 1},
		"selected":     {Seed: 4, Rows: test, Block: 16, Buffer: 64},
	} {
		c, err := s.Shuffle(cfg)
		if err != nil {
			t.Fatal(err)
		}
		n := c.cfg.Rows.Len()
		var order []int64
		batch, x := make([]int64, 61), make([]float32, 61)
		for int64(len(order)) < 3*n {
			if err := c.Batch(batch, []string{"x"}, [][]float32{x}); err != nil {
				t.Fatal(err)
			}
			for i, r := range batch {
				if x[i] != float32(r) {
					t.Fatalf("%s: row %d has value %v", name, r, x[i])
				}
			}
			order = append(order, batch...)
		}
		want := c.cfg.Rows.Append(nil, 0, int(n))
		for e := range int64(3) {
			got := slices.Sorted(slices.Values(order[e*n : (e+1)*n]))
			if !slices.Equal(got, want) {
				t.Errorf("%s: epoch %d is no permutation of the rows", name, e)
			}
		}
		if slices.Equal(order[:n], order[n:2*n]) || slices.Equal(order[:n], want) {
			t.Errorf("%s: an epoch repeats, or is not shuffled", name)
		}
	}
}

// TestShuffleRestart saves the cursor at many places, as JSON, and compares what follows with an unbroken run.
func TestShuffleRestart(t *testing.T) {
	s := wideStore(t, 60, 33)
	cfg := ShuffleConfig{Seed: 5, Block: 8, Buffer: 200}
	next := func(c *Cursor) []int64 {
		rows := make([]int64, 77)
		c.Next(rows)
		return rows
	}
	c, err := s.Shuffle(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var states []CursorState
	var batches [][]int64
	for range 80 { // three epochs
		states = append(states, c.State())
		batches = append(batches, next(c))
	}
	for i, st := range states {
		b, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		var back CursorState
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		c, err := s.Shuffle(cfg)
		if err != nil {
			t.Fatal(err)
		}
		next(c) // a cursor that has moved can be restored too
		if err := c.Restore(back); err != nil {
			t.Fatal(err)
		}
		for j := i; j < min(i+5, len(batches)); j++ {
			if got := next(c); !slices.Equal(got, batches[j]) {
				t.Fatalf("restored at batch %d, batch %d differs", i, j)
			}
		}
	}
	other, err := s.Shuffle(ShuffleConfig{Seed: 6, Block: 8, Buffer: 200})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Restore(states[3]); err == nil || !strings.Contains(err.Error(), `"seed":5`) {
		t.Errorf("another seed: %v", err)
	}
	if slices.Equal(next(other), batches[0]) {
		t.Error("another seed gives the same order")
	}
	bad := states[3]
	bad.Pos = s.Rows() + 1
	if err := c.Restore(bad); err == nil {
		t.Error("a position past the end")
	}
}

// TestShuffleOrderIsStable pins the order: saved cursors depend on it.
func TestShuffleOrderIsStable(t *testing.T) {
	s := wideStore(t, 8, 4)
	c, err := s.Shuffle(ShuffleConfig{Seed: 1, Block: 4, Buffer: 16})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]int64, 32)
	c.Next(got)
	want := []int64{21, 10, 11, 8, 23, 7, 22, 20, 5, 6, 4, 14, 15, 12, 9, 13, 30, 3, 28, 18, 29, 2, 25, 31, 19, 1, 0, 27, 26, 17, 16, 24}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: cursors saved by older versions would go elsewhere", got, want)
	}
}

// TestShuffleSpreads checks that rows of one document are far apart: the number of equal documents among neighbours,
// and in batches, is what a uniform shuffle gives, within five standard deviations.
func TestShuffleSpreads(t *testing.T) {
	const docs, length = 200, 100
	s := wideStore(t, docs, length)
	c, err := s.Shuffle(ShuffleConfig{Seed: 9, Block: 10, Buffer: 5000}) // four windows of 500 blocks
	if err != nil {
		t.Fatal(err)
	}
	order := make([]int64, docs*length)
	c.Next(order)
	same, inPlace := 0, 0
	sumRank := 0.0
	for i, r := range order {
		if i > 0 && r/length == order[i-1]/length {
			same++
		}
		if int64(i) == r {
			inPlace++
		}
		sumRank += float64(i) * float64(r)
	}
	n := float64(len(order))
	// A uniform shuffle has (n-1)(length-1)/(n-1) = 99 equal neighbours. Four windows hold a document's ten blocks
	// unevenly, which raises it a little: the probability that two rows share a window is (499+...)/1999 for other
	// blocks, and 1 for the block's own nine rows.
	pairs := length * docs * (9.0*(1/5000.0) + 90.0*(499.0/1999)*(1/5000.0))
	if d := math.Abs(float64(same) - pairs); d > 5*math.Sqrt(pairs) {
		t.Errorf("%d neighbours of one document, want about %.0f", same, pairs)
	}
	if inPlace > 10 {
		t.Errorf("%d rows stay in place, want about 1", inPlace)
	}
	mean := (n - 1) / 2
	variance := (n*n - 1) / 12
	// blocks of 10 move together, so the correlation has the spread of 2000 independent ones
	if rho := (sumRank/n - mean*mean) / variance; math.Abs(rho) > 5/math.Sqrt(2000) {
		t.Errorf("rank correlation with the stored order is %.3f", rho)
	}
}
