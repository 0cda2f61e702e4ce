package demo

import (
	"context"
	"encoding/json"
	"fmt"

	"loupe/probe/store"
)

// rows lets a trainer read a site of a store in a shuffled order without end.
type rows struct {
	cursor *store.Cursor
	site   string
	width  int
	count  int64 // rows of one epoch
	batch  []int64
}

// openRows returns the selected rows of a site, mixed by seed.
func openRows(ctx context.Context, st *store.Store, site string, sel store.Select, seed uint64) (*rows, error) {
	info, err := st.Site(site)
	if err != nil {
		return nil, err
	}
	set, err := st.Select(ctx, sel)
	if err != nil {
		return nil, err
	}
	cursor, err := st.Shuffle(store.ShuffleConfig{Seed: seed, Rows: set})
	if err != nil {
		return nil, err
	}
	return &rows{cursor: cursor, site: site, width: info.Dim(), count: set.Len()}, nil
}

// Next implements [sae.Rows]; there are always more rows.
func (r *rows) Next(dst []float32) (int, error) {
	n := len(dst) / r.width
	if cap(r.batch) < n {
		r.batch = make([]int64, n)
	}
	return n, r.cursor.Batch(r.batch[:n], []string{r.site}, [][]float32{dst[:n*r.width]})
}

// State implements [sae.Rows].
func (r *rows) State() ([]byte, error) { return json.Marshal(r.cursor.State()) }

// Restore implements [sae.Rows].
func (r *rows) Restore(state []byte) error {
	var s store.CursorState
	if err := json.Unmarshal(state, &s); err != nil {
		return fmt.Errorf("demo: cursor of the store: %w", err)
	}
	return r.cursor.Restore(s)
}
