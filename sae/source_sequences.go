package sae

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/probe/store"
)

// SequenceSource is a [Source] of token sites of an activation store for temporal SAEs: windows of so many selected tokens of
// one sequence of the model, in the order of the text, window after window in a seeded order, without end. What is left of a
// sequence after its last whole window is left out.
type SequenceSource struct {
	st      *store.Store
	sites   []SourceSite
	context int
	seed    uint64
	starts  []int64 // first row of each window
	epoch   int
	next    int // row of the epoch
	order   []int
	rows    []int64
}

// NewSequenceSource returns the windows of the selected rows. A selection without any whole window is an error, as are those of
// [NewStoreSource].
func NewSequenceSource(ctx context.Context, st *store.Store, sites []string, sel store.Select, tokens int, seed uint64) (*SequenceSource, error) {
	if tokens < 1 {
		return nil, fmt.Errorf("sae: sequences of %d tokens; want at least 1", tokens)
	}
	s := &SequenceSource{st: st, context: tokens, seed: seed}
	var err error
	if s.sites, err = tokenSites(st, sites); err != nil {
		return nil, err
	}
	set, err := st.Select(ctx, sel)
	if err != nil {
		return nil, err
	}
	var run, longest int64 // selected rows of the sequence in hand, up to the last one
	doc, seq := int64(-1), int32(-1)
	err = st.Scan(ctx, nil, func(c store.Chunk) error {
		for r := range c.Doc {
			row := c.First + int64(r)
			if c.Doc[r] != doc || c.Seq[r] != seq || !set.Has(row) {
				run, doc, seq = 0, c.Doc[r], c.Seq[r]
			}
			if !set.Has(row) {
				continue
			}
			run++
			longest = max(longest, run)
			if run%int64(tokens) == 0 {
				s.starts = append(s.starts, row-int64(tokens)+1)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.starts) == 0 {
		return nil, fmt.Errorf("sae: the selection of store %s has no sequence of %d tokens, the longest has %d; lower temporal.context", st.Dir(), tokens, longest)
	}
	s.shuffle()
	return s, nil
}

func (s *SequenceSource) shuffle() {
	s.order = rand.New(rand.NewPCG(s.seed, uint64(s.epoch))).Perm(len(s.starts))
}

// Context is the number of tokens of a window.
func (s *SequenceSource) Context() int { return s.context }

// Count is the number of rows of one epoch.
func (s *SequenceSource) Count() int64 { return int64(len(s.starts)) * int64(s.context) }

// Sites implements [Source].
func (s *SequenceSource) Sites() []SourceSite { return s.sites }

// Next implements [Source]; there are always more rows.
func (s *SequenceSource) Next(dst [][]float32) (int, error) {
	n := len(dst[0]) / s.sites[0].Width
	s.rows = slices.Grow(s.rows[:0], n)[:n]
	return n, s.Batch(s.rows, dst)
}

// Batch is Next for exactly len(rows) rows, whose numbers in the store it writes to rows.
func (s *SequenceSource) Batch(rows []int64, dst [][]float32) error {
	for i := range rows {
		if int64(s.next) == s.Count() {
			s.epoch, s.next = s.epoch+1, 0
			s.shuffle()
		}
		rows[i] = s.starts[s.order[s.next/s.context]] + int64(s.next%s.context)
		s.next++
	}
	for i, site := range s.sites {
		if err := s.st.Gather(dst[i][:len(rows)*site.Width], site.Name, rows); err != nil {
			return err
		}
	}
	return nil
}

// State implements [Source].
func (s *SequenceSource) State() ([]byte, error) { return json.Marshal(memoryState{s.epoch, s.next}) }

// Restore implements [Source].
func (s *SequenceSource) Restore(state []byte) error {
	var at memoryState
	if err := json.Unmarshal(state, &at); err != nil {
		return fmt.Errorf("sae: cursor of the store's sequences: %w", err)
	}
	if at.Epoch < 0 || at.Next < 0 || int64(at.Next) > s.Count() {
		return fmt.Errorf("sae: cursor of the store's sequences at epoch %d, row %d lies outside %d rows", at.Epoch, at.Next, s.Count())
	}
	s.epoch, s.next = at.Epoch, at.Next
	s.shuffle()
	return nil
}

// inSequences refuses a source whose rows do not come in sequences of so many tokens.
func inSequences(src Source, tokens int) error {
	if s, ok := src.(interface{ Context() int }); !ok || s.Context() != tokens {
		return fmt.Errorf("%s reads sequences of %d tokens, and the data's rows do not come in such; read a store with NewSequenceSource", ArchTemporal, tokens)
	}
	return nil
}
