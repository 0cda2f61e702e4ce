package sae

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"loupe/probe/store"
)

// StoreSource is a [Source] of token sites of an activation store, in a shuffled order without end.
type StoreSource struct {
	store   *store.Store
	cursor  *store.Cursor
	sites   []SourceSite
	names   []string
	set     *store.RowSet
	rows    []int64
	weigher *weigher // nil: all rows weigh alike
}

// NewStoreSource returns the selected rows of the named sites, mixed by seed. Sites that the store has not, that are not
// per token, and an empty selection are errors.
func NewStoreSource(ctx context.Context, st *store.Store, sites []string, sel store.Select, seed uint64) (*StoreSource, error) {
	s := &StoreSource{store: st, names: sites}
	var err error
	if s.sites, err = tokenSites(st, sites); err != nil {
		return nil, err
	}
	if s.set, err = st.Select(ctx, sel); err != nil {
		return nil, err
	}
	if s.set.Len() == 0 {
		return nil, fmt.Errorf("sae: the selection has no rows of store %s; widen split or exclude_special, or capture more text", st.Dir())
	}
	if s.cursor, err = st.Shuffle(store.ShuffleConfig{Seed: seed, Rows: s.set}); err != nil {
		return nil, err
	}
	return s, nil
}

// tokenSites finds token sites of a store.
func tokenSites(st *store.Store, names []string) ([]SourceSite, error) {
	var out []SourceSite
	for _, name := range names {
		info, err := st.Site(name)
		if err != nil {
			return nil, err
		}
		if info.Per != store.Token {
			return nil, fmt.Errorf("sae: site %s of store %s has one row per %s; sparse autoencoders train on token sites", name, st.Dir(), info.Per)
		}
		out = append(out, SourceSite{Name: name, Width: info.Dim()})
	}
	return out, nil
}

// Count is the number of selected rows: one epoch.
func (s *StoreSource) Count() int64 { return s.set.Len() }

// Sites implements [Source].
func (s *StoreSource) Sites() []SourceSite { return s.sites }

// Next implements [Source]; there are always more rows.
func (s *StoreSource) Next(dst [][]float32) (int, error) {
	n := len(dst[0]) / s.sites[0].Width
	if cap(s.rows) < n {
		s.rows = make([]int64, n)
	}
	return n, s.Batch(s.rows[:n], dst)
}

// Batch is Next for exactly len(rows) rows, whose numbers in the store it writes to rows.
func (s *StoreSource) Batch(rows []int64, dst [][]float32) error {
	if s.weigher == nil {
		return s.cursor.Batch(rows, s.names, dst)
	}
	seen := int64(0)
	for n := 0; n < len(rows); {
		at := s.cursor.State()
		s.cursor.Next(rows[n:])
		got, err := s.weigher.take(rows[n:], at.Epoch*uint64(s.set.Len())+uint64(at.Pos))
		if err != nil {
			return err
		}
		if seen += int64(len(rows) - n); got > 0 {
			seen = 0
		}
		if n += got; seen > 100*s.set.Len() {
			return errors.New("sae: the selected rows weigh nothing, or almost; change class_weights or the selection")
		}
	}
	for i, name := range s.names {
		if err := s.store.Gather(dst[i], name, rows); err != nil {
			return err
		}
	}
	return nil
}

// State implements [Source].
func (s *StoreSource) State() ([]byte, error) { return json.Marshal(s.state()) }

// Restore implements [Source].
func (s *StoreSource) Restore(state []byte) error { return s.restore(state) }
