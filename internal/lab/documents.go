package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/probe/store"
)

// Documents says where the documents of a store are, each of which is one sequence.
type Documents struct {
	Store *store.Store
	place map[int64][2]int64 // document -> first row and number of rows
}

// OpenDocuments finds the documents of a store.
func OpenDocuments(ctx context.Context, st *store.Store) (*Documents, error) {
	d := &Documents{Store: st, place: map[int64][2]int64{}}
	err := st.Scan(ctx, nil, func(c store.Chunk) error {
		for i, doc := range c.Doc {
			row := c.First + int64(i)
			at, seen := d.place[doc]
			switch {
			case !seen:
				at = [2]int64{row, 0}
			case at[0]+at[1] != row:
				return fmt.Errorf("lab: store %s: document %d has rows in several places; capture it as one sequence (overflow truncate)", st.Dir(), doc)
			}
			at[1]++
			d.place[doc] = at
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Tokens returns the number of tokens of a document, special ones included; 0 when the store does not have it.
func (d *Documents) Tokens(doc int64) int { return int(d.place[doc][1]) }

// Longest returns the number of tokens of the longest document.
func (d *Documents) Longest() int {
	longest := 0
	for _, at := range d.place {
		longest = max(longest, int(at[1]))
	}
	return longest
}

// Rows returns the rows of a document, in order.
func (d *Documents) Rows(doc int64) ([]int64, error) {
	at, ok := d.place[doc]
	if !ok {
		return nil, fmt.Errorf("lab: document %d is not in store %s", doc, d.Store.Dir())
	}
	out := make([]int64, at[1])
	for i := range out {
		out[i] = at[0] + int64(i)
	}
	return out, nil
}

// Sample draws n documents (0: all) of a split that keep accepts, by seed, and returns them in the order of their ids.
func (d *Documents) Sample(split string, keep func(doc int64) bool, n int, seed int64) ([]int64, error) {
	docs, err := d.Store.Docs()
	if err != nil {
		return nil, err
	}
	var ids []int64
	for i, id := range docs.ID {
		if docs.Split[i] == split && keep(id) {
			ids = append(ids, id)
		}
	}
	if n == 0 {
		n = len(ids)
	}
	if len(ids) < n {
		return nil, fmt.Errorf("lab: %d documents of split %s are fit for use and %d are wanted; ask for fewer, or hold out or read more text", len(ids), split, n)
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x5a3b1e))
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	ids = ids[:n]
	slices.Sort(ids)
	return ids, nil
}
