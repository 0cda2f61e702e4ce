package evaluate

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"

	"loupe/probe/store"
	"loupe/sae"
)

// sequence is a run of tokens as the model read them.
type sequence struct {
	first   int64 // row of the store
	tokens  []int32
	special []bool // tokens that are left alone: special ones, and those that the selection leaves out
}

// documents selects all rows of the selected documents.
func (b *Bench) documents() store.Select {
	return store.Select{Split: b.Select.Split, Group: b.Select.Group, Label: b.Select.Label, Class: b.Select.Class}
}

// sequences returns b.Texts sequences of the selected documents, chosen by a hash, as the store holds their tokens, cut at
// length. Sequences of fewer than four tokens are left out.
func (b *Bench) sequences(ctx context.Context, length int) ([]sequence, error) {
	rows, err := b.Store.Select(ctx, b.documents())
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	type span struct {
		hash  uint64
		first int64
		n     int
	}
	var chosen []span
	var open span
	started := false
	shut := func() {
		if open.n >= 4 {
			chosen = append(chosen, open)
		}
		open, started = span{}, false
		if len(chosen) > 4*b.Texts {
			slices.SortFunc(chosen, func(x, y span) int { return cmp.Compare(x.hash, y.hash) })
			chosen = chosen[:b.Texts]
		}
	}
	next := int32(0)
	err = b.Store.Scan(ctx, nil, func(c store.Chunk) error {
		for i := range c.Doc {
			row := c.First + int64(i)
			if started && c.Pos[i] != next {
				shut()
			}
			if c.Pos[i] == 0 && rows.Has(row) {
				h := fnv.New64a()
				_ = binary.Write(h, binary.LittleEndian, []uint64{b.Seed, uint64(c.Doc[i]), uint64(c.Seq[i])})
				open, started, next = span{hash: h.Sum64(), first: row}, true, 0
			}
			if started {
				open.n, next = open.n+1, next+1
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	shut()
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w: the store has no whole sequences in the selection; capture with special_rows: keep, so that they can be run through the model again", errLeftOut)
	}
	slices.SortFunc(chosen, func(x, y span) int { return cmp.Compare(x.hash, y.hash) })
	chosen = chosen[:min(b.Texts, len(chosen))]
	out := make([]sequence, len(chosen))
	for i, s := range chosen {
		n := min(s.n, length)
		index := make([]int64, n)
		for j := range index {
			index[j] = s.first + int64(j)
		}
		tokens, err := b.Store.TokenRows(index)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		out[i].first = s.first
		for _, t := range tokens {
			out[i].tokens, out[i].special = append(out[i].tokens, t.Token), append(out[i].special, !b.Select.Takes(t.Pos, t.Token, t.Special))
		}
	}
	return out, nil
}

// batches pads sequences to batches of the given size. Tokens that are left alone are not spliced.
func (s *Subject) batches(seqs []sequence, size, length int) []sae.TokenBatch {
	var out []sae.TokenBatch
	for part := range slices.Chunk(seqs, size) {
		n := size * length
		b := sae.TokenBatch{IDs: make([]int32, n), Mask: make([]int32, n), Keep: make([]bool, n)}
		for r, seq := range part {
			s.place(seq.tokens, b.IDs[r*length:(r+1)*length], b.Mask[r*length:(r+1)*length])
			for j, special := range seq.special {
				b.Keep[r*length+j] = !special
			}
		}
		out = append(out, b)
	}
	return out
}
