package sae

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/probe/store"
)

// twoSites is a store of 20 documents of 10 rows with the token sites a, whose row r holds (r, r+0.5), and b, whose row r
// holds -r, and an example site. Each document's first row is special.
func twoSites(t *testing.T) *store.Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.Create(dir, store.Spec{
		Model: store.Source{ID: "m", Digest: "m"}, Moments: store.MomentOptions{Off: true},
		Sites: []store.Site{
			{Name: "a", Per: store.Token, Shape: []int{2}, DType: store.Float32},
			{Name: "b", Per: store.Token, Shape: []int{1}, DType: store.Float32},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	row := 0
	for doc := range int64(20) {
		rows := store.Rows{Sites: make([][]float32, 2)}
		for p := range int32(10) {
			rows.Doc, rows.Pos, rows.Token, rows.Special = append(rows.Doc, doc), append(rows.Pos, p), append(rows.Token, 1), append(rows.Special, p == 0)
			rows.Sites[0] = append(rows.Sites[0], float32(row), float32(row)+0.5)
			rows.Sites[1] = append(rows.Sites[1], -float32(row))
			row++
		}
		if err := w.Append(t.Context(), store.Batch{Docs: []store.Doc{{ID: doc}}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(dir, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// TestStoreSource reads two sites side by side: rows are aligned, special ones are left out, each row comes once in an
// epoch, and a cursor goes on where it stood.
func TestStoreSource(t *testing.T) {
	st := twoSites(t)
	open := func() (*StoreSource, Rows) {
		src, err := NewStoreSource(t.Context(), st, []string{"a", "b"}, store.Select{ExcludeSpecial: true}, 7)
		if err != nil {
			t.Fatal(err)
		}
		rows, width, err := Join(src, "b", "a")
		if err != nil || width != 3 {
			t.Fatalf("width %d, %v", width, err)
		}
		return src, rows
	}
	src, rows := open()
	if src.Count() != 180 {
		t.Errorf("%d rows, want 180", src.Count())
	}
	var state []byte
	var seen []float32
	batch := make([]float32, 3*45)
	for i := range 4 {
		if i == 3 {
			var err error
			if state, err = src.State(); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := rows.Next(batch); n != 45 || err != nil {
			t.Fatalf("%d rows, %v", n, err)
		}
		for r := range slices.Chunk(batch, 3) {
			if r[0] != -r[1] || r[2] != r[1]+0.5 || int(r[1])%10 == 0 {
				t.Fatalf("row %v is not (-r, r, r+0.5) of a row that is not special", r)
			}
			seen = append(seen, r[1])
		}
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 180 {
		t.Error("an epoch repeats rows")
	}
	again, rest := open()
	if err := again.Restore(state); err != nil {
		t.Fatal(err)
	}
	other := make([]float32, len(batch))
	if _, err := rest.Next(other); err != nil || !slices.Equal(other, batch) {
		t.Errorf("after Restore other rows come (%v)", err)
	}
	for _, c := range []struct {
		sites []string
		sel   store.Select
		want  string
	}{
		{[]string{"c"}, store.Select{}, "c"},
		{[]string{"a"}, store.Select{Split: "dev"}, "dev"},
	} {
		if _, err := NewStoreSource(t.Context(), st, c.sites, c.sel, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %+v: got %v", c.sites, c.sel, err)
		}
	}
}
