package store

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// ShuffleConfig says how token rows are mixed.
type ShuffleConfig struct {
	Seed uint64
	// Rows are the rows to go through; nil means all.
	Rows *RowSet
	// Block is the number of neighbouring rows that are read together; 0 means 64.
	Block int
	// Buffer is the number of rows that are mixed with each other; 0 means 262144. It holds indices, not values.
	Buffer int
}

// Cursor goes through token rows in a shuffled order without end: every row once in each epoch.
//
// The rows are cut into blocks of neighbours; each epoch permutes the blocks, and the rows of as many blocks as the
// buffer holds are permuted together. A set of rows not larger than the buffer is thus permuted uniformly; of a larger
// one, a buffer is a random sample of blocks. The order depends on seed, epoch and configuration only. A Cursor serves
// one goroutine.
type Cursor struct {
	s      *Store
	cfg    ShuffleConfig
	digest string
	epoch  uint64
	pos    int64   // rows of this epoch that were given out
	blocks []int32 // this epoch's order of blocks
	window []int64 // the mixed rows, of rows [first, first+len)
	first  int64
}

// Shuffle returns a cursor at the start of epoch 0.
func (s *Store) Shuffle(cfg ShuffleConfig) (*Cursor, error) {
	if cfg.Rows == nil {
		cfg.Rows = allRows(s.Rows())
	}
	if cfg.Block == 0 {
		cfg.Block = 64
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = 1 << 18
	}
	switch {
	case cfg.Rows.rows != s.Rows():
		return nil, fmt.Errorf("store: shuffle: the rows were selected from a store of %d rows and this one has %d", cfg.Rows.rows, s.Rows())
	case cfg.Rows.Len() == 0:
		return nil, fmt.Errorf("store: shuffle: %s: no row is selected", s.dir)
	case cfg.Block < 1 || cfg.Buffer < cfg.Block:
		return nil, fmt.Errorf("store: shuffle: block %d and buffer %d: a buffer holds at least one block of at least one row", cfg.Block, cfg.Buffer)
	case cfg.Rows.Len()/int64(cfg.Block) >= 1<<31-1:
		return nil, fmt.Errorf("store: shuffle: %d rows make too many blocks of %d; use greater blocks", cfg.Rows.Len(), cfg.Block)
	}
	return &Cursor{s: s, cfg: cfg, digest: cfg.Rows.digest()}, nil
}

// Epoch returns the number of times that all rows have been given out.
func (c *Cursor) Epoch() int { return int(c.epoch) }

// Next fills rows with the next rows of the order, over the ends of epochs.
func (c *Cursor) Next(rows []int64) {
	for len(rows) > 0 {
		if c.pos == c.cfg.Rows.Len() {
			c.epoch, c.pos, c.blocks = c.epoch+1, 0, nil
		}
		if c.blocks == nil || c.pos < c.first || c.pos >= c.first+int64(len(c.window)) {
			c.mix()
		}
		n := copy(rows, c.window[c.pos-c.first:])
		c.pos += int64(n)
		rows = rows[n:]
	}
}

// Batch fills rows and, for each site, dst[i] [len(rows), d] with the next batch.
func (c *Cursor) Batch(rows []int64, sites []string, dst [][]float32) error {
	if len(sites) != len(dst) {
		return fmt.Errorf("store: shuffle: %d sites and %d buffers", len(sites), len(dst))
	}
	for i, name := range sites { // before the cursor moves
		if site, err := c.s.Site(name); err != nil {
			return err
		} else if site.Per != Token || len(dst[i]) != len(rows)*site.Dim() {
			return fmt.Errorf("store: shuffle: site %s is per %s and its buffer has %d values for %d rows of %d", name, site.Per, len(dst[i]), len(rows), site.Dim())
		}
	}
	c.Next(rows)
	for i, name := range sites {
		if err := c.s.Gather(dst[i], name, rows); err != nil {
			return err
		}
	}
	return nil
}

// mix fills the window that holds position pos of this epoch.
func (c *Cursor) mix() {
	n, block := c.cfg.Rows.Len(), int64(c.cfg.Block)
	if c.blocks == nil {
		c.blocks = make([]int32, (n+block-1)/block)
		for i := range c.blocks {
			c.blocks[i] = int32(i)
		}
		Permute(rand.NewPCG(c.cfg.Seed, 2*c.epoch), c.blocks)
	}
	// A window is a fixed number of blocks. Only the set's last block is short, wherever the permutation puts it.
	per := int64(c.cfg.Buffer) / block
	last := int32(len(c.blocks) - 1)
	missing := int64(len(c.blocks))*block - n
	first, w := int64(0), int64(0)
	for {
		end := min((w+1)*per, int64(len(c.blocks)))
		size := (end - w*per) * block
		for _, b := range c.blocks[w*per : end] {
			if b == last {
				size -= missing
			}
		}
		if c.pos < first+size {
			break
		}
		first, w = first+size, w+1
	}
	c.window, c.first = c.window[:0], first
	for _, b := range c.blocks[w*per : min((w+1)*per, int64(len(c.blocks)))] {
		c.window = c.cfg.Rows.Append(c.window, int64(b)*block, int(block))
	}
	Permute(rand.NewPCG(c.cfg.Seed^uint64(w+1)<<32, 2*c.epoch+1), c.window)
}

// Permute is Fisher and Yates's shuffle with unbiased bounded integers (Lemire 2019), written out because the order is
// part of the format: a cursor saved by one version of loupe must mean the same in the next.
func Permute[T any](src *rand.PCG, v []T) {
	for i := uint64(len(v)); i > 1; i-- {
		hi, lo := bits.Mul64(src.Uint64(), i)
		if lo < i {
			for t := -i % i; lo < t; {
				hi, lo = bits.Mul64(src.Uint64(), i)
			}
		}
		v[i-1], v[hi] = v[hi], v[i-1]
	}
}

// CursorState is a place in a shuffled order and what the order depends on.
type CursorState struct {
	Seed      uint64 `json:"seed"`
	Block     int    `json:"block"`
	Buffer    int    `json:"buffer"`
	Epoch     uint64 `json:"epoch"`
	Pos       int64  `json:"pos"`
	RowDigest string `json:"row_digest"`
	Selection string `json:"selection"`
}

// State returns the cursor's place.
func (c *Cursor) State() CursorState {
	return CursorState{
		Seed: c.cfg.Seed, Block: c.cfg.Block, Buffer: c.cfg.Buffer, Epoch: c.epoch, Pos: c.pos,
		RowDigest: c.s.man.RowDigest, Selection: c.digest,
	}
}

// Restore moves the cursor to a place that State returned. Another store, selection, seed or configuration is an error.
func (c *Cursor) Restore(st CursorState) error {
	want := c.State()
	want.Epoch, want.Pos = st.Epoch, st.Pos
	if st != want {
		a, _ := json.Marshal(st)
		b, _ := json.Marshal(want)
		return fmt.Errorf("store: restore cursor: it was saved as %s and the store and configuration here give %s; use those it was saved with", a, b)
	}
	if st.Pos < 0 || st.Pos > c.cfg.Rows.Len() {
		return fmt.Errorf("store: restore cursor: position %d of %d rows", st.Pos, c.cfg.Rows.Len())
	}
	c.epoch, c.pos, c.blocks = st.Epoch, st.Pos, nil
	return nil
}
