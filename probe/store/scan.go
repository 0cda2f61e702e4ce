package store

import (
	"context"
	"fmt"

	"loupe/internal/arrowio"
)

// Chunk is a run of token rows in the order of the store: a record batch.
type Chunk struct {
	First                                        int64 // row of the store
	Doc                                          []int64
	Pos, Seq, Segment, Token, CharStart, CharEnd []int32
	Special                                      []bool
	// Sites has x [n, d] for each site that was asked for. Float32 sites are views of the map; float16 sites are
	// brought back to their scale in memory that the next chunk reuses.
	Sites [][]float32
}

// Scan calls yield with every chunk of token rows, with the values of the named token sites. Rows come in the order
// of the store; an error of yield stops it.
func (s *Store) Scan(ctx context.Context, sites []string, yield func(Chunk) error) error {
	return s.scan(ctx, s.token, sites, func(v *shardView, b int, first int64, x [][]float32) error {
		c := Chunk{First: first, Sites: x}
		var err error
		if c.Doc, err = arrowio.Values[int64](v.file, b, 0); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		for i, dst := range []*[]int32{&c.Pos, &c.Seq, &c.Segment, &c.Token, &c.CharStart, &c.CharEnd} {
			if *dst, err = arrowio.Values[int32](v.file, b, 1+i); err != nil {
				return fmt.Errorf("store: %w", err)
			}
		}
		if c.Special, err = v.file.Bools(b, 1+len(tokenInt32)); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return yield(c)
	})
}

// ExampleChunk is a run of example rows.
type ExampleChunk struct {
	First     int64
	Doc, Pair []int64
	Sites     [][]float32
}

// ScanExamples is Scan for the example table and its sites.
func (s *Store) ScanExamples(ctx context.Context, sites []string, yield func(ExampleChunk) error) error {
	return s.scan(ctx, s.example, sites, func(v *shardView, b int, first int64, x [][]float32) error {
		c := ExampleChunk{First: first, Sites: x}
		var err error
		if c.Doc, err = arrowio.Values[int64](v.file, b, 0); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if c.Pair, err = arrowio.Values[int64](v.file, b, 1); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return yield(c)
	})
}

func (s *Store) scan(ctx context.Context, t *tableReader, sites []string, yield func(v *shardView, batch int, first int64, x [][]float32) error) error {
	index := make([]int, len(sites))
	for k, name := range sites {
		if index[k] = t.siteIndex(name); index[k] < 0 {
			if _, err := s.Site(name); err != nil {
				return err
			}
			return fmt.Errorf("store: site %s is not a %s site", name, t.per)
		}
	}
	buffers := make([][]float32, len(sites))
	for i := range t.shards {
		v := &t.shards[i]
		first := v.start
		for b := range v.file.Batches() {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("store: %w", context.Cause(ctx))
			}
			x := make([][]float32, len(sites))
			for k, site := range index {
				x[k] = v.values(t.sites[site], site, b, &buffers[k])
			}
			if err := yield(v, b, first, x); err != nil {
				return err
			}
			first += int64(v.file.BatchRows(b))
		}
	}
	return nil
}

// values returns a site's values of a batch, dequantised into buf if need be.
func (v *shardView) values(s Site, site, batch int, buf *[]float32) []float32 {
	if s.DType == Float32 {
		return v.f32[site][batch]
	}
	half := v.f16[site][batch]
	if len(*buf) < len(half) {
		*buf = make([]float32, len(half))
	}
	out := (*buf)[:len(half)]
	fromHalf(out, half, s.Scale)
	return out
}

// readBlock reads a batch as the writer had it in memory, for replay and verification.
func readBlock(f *arrowio.File, batch int, t *table, classes *classIndex) (*block, error) {
	b := &block{table: t, n: f.BatchRows(batch)}
	col := 0
	for range t.i64 {
		v, err := arrowio.Values[int64](f, batch, col)
		if err != nil {
			return nil, err
		}
		b.i64, col = append(b.i64, v), col+1
	}
	for range t.i32 {
		v, err := arrowio.Values[int32](f, batch, col)
		if err != nil {
			return nil, err
		}
		b.i32, col = append(b.i32, v), col+1
	}
	for range t.bl {
		v, err := f.Bools(batch, col)
		if err != nil {
			return nil, err
		}
		b.bl, col = append(b.bl, v), col+1
	}
	for _, s := range t.sites {
		if s.DType == Float16 {
			half, err := arrowio.Values[uint16](f, batch, col)
			if err != nil {
				return nil, err
			}
			x := make([]float32, len(half))
			fromHalf(x, half, s.Scale)
			b.half, b.x, col = append(b.half, half), append(b.x, x), col+1
			continue
		}
		x, err := arrowio.Values[float32](f, batch, col)
		if err != nil {
			return nil, err
		}
		b.half, b.x, col = append(b.half, nil), append(b.x, x), col+1
	}
	b.tuple = make([]int32, b.n)
	for r, doc := range b.i64[0] {
		n, ok := classes.docs[doc]
		if !ok {
			return nil, fmt.Errorf("document %d of a row is not among the documents", doc)
		}
		b.tuple[r] = n
	}
	return b, nil
}
