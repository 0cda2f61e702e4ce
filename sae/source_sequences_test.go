package sae

import (
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/store"
)

// TestSequenceSource reads windows of 4 of the 9 ordinary rows of each document: rows 1 to 4 and 5 to 8, in order, each window
// once an epoch, from a cursor in the middle of one as before. Groups take it for temporal SAEs, and nothing else.
func TestSequenceSource(t *testing.T) {
	st := twoSites(t)
	src, err := NewSequenceSource(t.Context(), st, []string{"a", "b"}, store.Select{ExcludeSpecial: true}, 4, 7)
	if err != nil {
		t.Fatal(err)
	}
	if src.Count() != 20*2*4 || src.Context() != 4 {
		t.Errorf("%d rows in windows of %d, want 160 and 4", src.Count(), src.Context())
	}
	a, b := make([]float32, 160*2), make([]float32, 160)
	if n, err := src.Next([][]float32{a[:70*2], b[:70]}); n != 70 || err != nil {
		t.Fatal(n, err)
	}
	at, err := src.State()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := src.Next([][]float32{a[70*2:], b[70:]}); n != 90 || err != nil {
		t.Fatal(n, err)
	}
	var starts []float32
	for w := range slices.Chunk(a, 8) {
		if first := int(w[0]) % 10; first != 1 && first != 5 {
			t.Fatalf("a window starts with row %v", w[0])
		}
		for j := range 4 {
			if w[2*j] != w[0]+float32(j) {
				t.Fatalf("a window is %v", w)
			}
		}
		starts = append(starts, w[0])
	}
	for r, v := range b {
		if v != -a[2*r] {
			t.Fatalf("row %d of the two sites: %v and %v", r, a[2*r], v)
		}
	}
	if slices.IsSorted(starts) {
		t.Error("the windows are not shuffled")
	}
	slices.Sort(starts)
	if len(slices.Compact(starts)) != 40 {
		t.Error("an epoch repeats windows")
	}
	if err := src.Restore(at); err != nil {
		t.Fatal(err)
	}
	again := [][]float32{make([]float32, 90*2), make([]float32, 90)}
	if _, err := src.Next(again); err != nil || !slices.Equal(again[1], b[70:]) {
		t.Errorf("after Restore other rows come (%v)", err)
	}
	if _, err := NewSequenceSource(t.Context(), st, []string{"a"}, store.Select{ExcludeSpecial: true}, 10, 1); err == nil || !strings.Contains(err.Error(), "the longest has 9") {
		t.Errorf("windows longer than any document: %v", err)
	}

	member := Member{Name: "t", Inputs: []string{"a"}, Config: DefaultsFor(ArchTemporal)}
	member.Config.DSAE, member.Config.K, member.Config.Batch, member.Config.Temporal.Context = 8, 4, 16, 4
	if _, err := ResolveMembers([]Member{member}, src); err != nil {
		t.Error(err)
	}
	member.Config.Temporal.Context = 8
	if _, err := ResolveMembers([]Member{member}, src); err == nil || !strings.Contains(err.Error(), "sequences of 8 tokens") {
		t.Errorf("windows of another length: %v", err)
	}
	shuffled, err := NewStoreSource(t.Context(), st, []string{"a"}, store.Select{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := StartGroup(graphtest.Backend(t), []Member{member}, shuffled); err == nil || !strings.Contains(err.Error(), "sequences of 8 tokens") {
		t.Errorf("shuffled rows: %v", err)
	}
}
