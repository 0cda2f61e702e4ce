package capture

import (
	"fmt"
	"slices"

	"loupe/probe/token"
)

// batch is sequences that are computed together, padded to length t in b rows.
type batch struct {
	b, t int
	seqs []sequence
}

// tokens is the number of tokens without padding.
func (x *batch) tokens() int {
	n := 0
	for _, s := range x.seqs {
		n += len(s.cells)
	}
	return n
}

// lengths returns the padded lengths: as configured, or 16, 24, 32, 48, 64, 96 and so on up to the longest sequence.
// Steps of two thirds waste about an eighth of a batch where powers of two waste a quarter.
func lengths(configured []int, maxLength int) []int {
	if len(configured) > 0 {
		return configured
	}
	var out []int
	for n := 16; n < maxLength; n *= 2 {
		out = append(out, n)
		if half := n + n/2; half < maxLength {
			out = append(out, half)
		}
	}
	return append(out, maxLength)
}

// rowsOf is the number of rows of batches of length t.
func rowsOf(batchTokens, t int) int { return max(1, batchTokens/t) }

// toBatches cuts a window's sequences, longest first, into batches. The shorter ones that follow fill the last batch of
// a bucket, so that only the last batch of a window has empty rows. Within a batch the sequences are in their own order.
func toBatches(seqs []sequence, buckets []int, batchTokens int) ([]batch, error) {
	order := make([]int, len(seqs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return len(seqs[j].cells) - len(seqs[i].cells) })
	var out []batch
	for len(order) > 0 {
		t, err := token.Bucket(len(seqs[order[0]].cells), buckets)
		if err != nil {
			return nil, fmt.Errorf("capture: %w", err)
		}
		x := batch{b: rowsOf(batchTokens, t), t: t}
		n := min(len(order), x.b)
		members := order[:n]
		slices.Sort(members)
		for _, i := range members {
			x.seqs = append(x.seqs, seqs[i])
		}
		out, order = append(out, x), order[n:]
	}
	return out, nil
}
