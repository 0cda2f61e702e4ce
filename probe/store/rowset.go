package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
)

// RowSet is a set of rows in ascending order, one bit a row.
type RowSet struct {
	bits []uint64
	rank []int64 // rows in the set before each group of rankWords words
	n    int64
	rows int64
}

const rankWords = 8

// Select says which token rows to take. A zero field does not restrict.
type Select struct {
	ExcludeSpecial bool `json:"exclude_special,omitempty"`
	// FromPos leaves out the rows of earlier positions of a sequence: in many decoders a few of the first tokens take the
	// attention sink, with norms that drown all others.
	FromPos int32 `json:"from_pos,omitempty"`
	// ExcludePositions and ExcludeTokens leave out rows at these positions of their sequence, and of these token ids.
	ExcludePositions []int32 `json:"exclude_positions,omitempty"`
	ExcludeTokens    []int32 `json:"exclude_tokens,omitempty"`

	Split string `json:"split,omitempty"`
	Group string `json:"group,omitempty"`
	// Label and Class choose the documents of a class.
	Label string `json:"label,omitempty"`
	Class string `json:"class,omitempty"`
}

// Takes tells whether the selection has rows of this position, token and kind, whatever their document.
func (s Select) Takes(pos, token int32, special bool) bool {
	return !(s.ExcludeSpecial && special) && pos >= s.FromPos && !slices.Contains(s.ExcludePositions, pos) && !slices.Contains(s.ExcludeTokens, token)
}

// Select returns the token rows that sel chooses. A split, group or class that no document has is an error that lists
// those there are.
func (s *Store) Select(ctx context.Context, sel Select) (*RowSet, error) {
	keepDoc, err := s.docFilter(sel)
	if err != nil {
		return nil, err
	}
	set := &RowSet{bits: make([]uint64, (s.Rows()+63)/64), rows: s.Rows()}
	err = s.Scan(ctx, nil, func(c Chunk) error {
		for r, doc := range c.Doc {
			if !sel.Takes(c.Pos[r], c.Token[r], c.Special[r]) || keepDoc != nil && !keepDoc[doc] {
				continue
			}
			row := c.First + int64(r)
			set.bits[row/64] |= 1 << (row % 64)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	set.index()
	return set, nil
}

// docFilter returns the documents that sel keeps, or nil for all.
func (s *Store) docFilter(sel Select) (map[int64]bool, error) {
	if sel.Split == "" && sel.Group == "" && sel.Label == "" {
		return nil, nil
	}
	docs, err := s.Docs()
	if err != nil {
		return nil, err
	}
	keep := map[int64]bool{}
	for _, id := range docs.ID {
		keep[id] = true
	}
	restrict := func(what, want string, values []string) error {
		if want == "" {
			return nil
		}
		if !slices.Contains(values, want) {
			have := slices.Compact(slices.Sorted(slices.Values(values)))
			return fmt.Errorf("store: %s: no document has %s %q; there are %q", s.dir, what, want, have[:min(len(have), 20)])
		}
		for i, v := range values {
			if v != want {
				delete(keep, docs.ID[i])
			}
		}
		return nil
	}
	if err := restrict("split", sel.Split, docs.Split); err != nil {
		return nil, err
	}
	if err := restrict("group", sel.Group, docs.Group); err != nil {
		return nil, err
	}
	if sel.Label != "" {
		if !slices.Contains(s.man.Labels, sel.Label) {
			return nil, fmt.Errorf("store: %s has no label %q; it has %v", s.dir, sel.Label, s.man.Labels)
		}
		if err := restrict("label "+sel.Label, sel.Class, docs.Labels[sel.Label]); err != nil {
			return nil, err
		}
	}
	return keep, nil
}

func allRows(n int64) *RowSet {
	set := &RowSet{bits: make([]uint64, (n+63)/64), rows: n}
	for i := range set.bits {
		set.bits[i] = ^uint64(0)
	}
	if n%64 != 0 {
		set.bits[len(set.bits)-1] = 1<<(n%64) - 1
	}
	set.index()
	return set
}

func (r *RowSet) index() {
	r.rank, r.n = nil, 0
	for i, w := range r.bits {
		if i%rankWords == 0 {
			r.rank = append(r.rank, r.n)
		}
		r.n += int64(bits.OnesCount64(w))
	}
}

// Len returns the number of rows in the set.
func (r *RowSet) Len() int64 { return r.n }

// Has tells whether a row is in the set.
func (r *RowSet) Has(row int64) bool {
	return row >= 0 && row < r.rows && r.bits[row/64]>>(row%64)&1 == 1
}

// Append appends rows k, k+1, ..., at most n of them, of the set to dst.
func (r *RowSet) Append(dst []int64, k int64, n int) []int64 {
	if k < 0 || k >= r.n {
		return dst
	}
	g, found := slices.BinarySearch(r.rank, k)
	if !found {
		g--
	}
	for g+1 < len(r.rank) && r.rank[g+1] <= k { // groups without rows share a rank
		g++
	}
	skip := k - r.rank[g]
	for i := g * rankWords; i < len(r.bits) && n > 0; i++ {
		w := r.bits[i]
		if c := int64(bits.OnesCount64(w)); skip >= c {
			skip -= c
			continue
		}
		for ; w != 0 && n > 0; w &= w - 1 {
			if skip > 0 {
				skip--
				continue
			}
			dst = append(dst, int64(i*64+bits.TrailingZeros64(w)))
			n--
		}
	}
	return dst
}

// digest names the set, so that a cursor is not restored over other rows.
func (r *RowSet) digest() string {
	h := sha256.New()
	buf := binary.LittleEndian.AppendUint64(nil, uint64(r.rows))
	for _, w := range r.bits {
		buf = binary.LittleEndian.AppendUint64(buf, w)
		if len(buf) >= 1<<16 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write(buf)
	return hex.EncodeToString(h.Sum(nil)[:16])
}
