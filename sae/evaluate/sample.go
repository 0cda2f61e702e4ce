package evaluate

import (
	"context"
	"fmt"
	"slices"

	"loupe/probe/store"
	"loupe/sae"
)

// sampleSeed and sampleBatch choose the rows that are measured and the batches of the values called legacy. They are those
// of `loupe sae train`, so that both print the same numbers.
const (
	sampleSeed  = 0xe5a1
	sampleBatch = 1024
)

// sample is a fixed random choice of different rows of some sites.
type sample struct {
	store  *store.Store
	sites  siteKey
	source rowSource
	start  []byte // where the source stands before the first row
	rows   int64
	read   []int // widths of the sites that are read
	write  []int // and of those that are written
}

// rowSource is a source of a store's rows that tells which rows they are.
type rowSource interface {
	sae.Source
	Count() int64
	Batch(rows []int64, dst [][]float32) error
}

// newSample chooses at most limit rows of a selection.
func newSample(ctx context.Context, st *store.Store, sites siteKey, sel store.Select, limit int64) (*sample, error) {
	src, err := openSource(ctx, st, sites, sel)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	s := &sample{store: st, sites: sites, source: src, rows: min(limit, src.Count())}
	if n := int64(sites.sequence); n > 0 {
		s.rows -= s.rows % n
	}
	for i, site := range src.Sites() {
		if i < len(sites.reads()) {
			s.read = append(s.read, site.Width)
		} else {
			s.write = append(s.write, site.Width)
		}
	}
	if s.start, err = src.State(); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return s, nil
}

func openSource(ctx context.Context, st *store.Store, sites siteKey, sel store.Select) (rowSource, error) {
	all := append(sites.reads(), sites.writes()...)
	if sites.sequence > 0 {
		return sae.NewSequenceSource(ctx, st, all, sel, sites.sequence, sampleSeed)
	}
	return sae.NewStoreSource(ctx, st, all, sel, sampleSeed)
}

// batch is the number of rows that are read together: a whole number of sequences.
func (s *sample) batch() int {
	if n := s.sites.sequence; n > 0 {
		return max(1, sampleBatch/n) * n
	}
	return sampleBatch
}

// check tells whether a dictionary fits the sites.
func (s *sample) check(d *Dictionary) error {
	if in := sum(s.read); d.DIn != in {
		return fmt.Errorf("evaluate: %s has d_in %d, but %s of the store has %d dimensions; name another site", d.Name, d.DIn, s.sites.read, in)
	}
	if out := sum(s.write); d.Transcoder() && d.DOut != out {
		return fmt.Errorf("evaluate: %s has d_out %d, but %s of the store has %d dimensions; name another target", d.Name, d.DOut, s.sites.write, out)
	}
	return nil
}

func sum(x []int) int {
	total := 0
	for _, v := range x {
		total += v
	}
	return total
}

// each calls visit with every batch: x [n, d_in], the target [n, d_out] (x itself where nothing else is written) and each
// row's document.
func (s *sample) each(ctx context.Context, visit func(x, target []float32, doc []int64) error) error {
	if err := s.source.Restore(s.start); err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	size := s.batch()
	rows := make([]int64, size)
	widths := append(slices.Clone(s.read), s.write...)
	buffers := make([][]float32, len(widths))
	for i, w := range widths {
		buffers[i] = make([]float32, size*w)
	}
	for seen := int64(0); seen < s.rows; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := int(min(int64(size), s.rows-seen))
		part := make([][]float32, len(buffers))
		for i, w := range widths {
			part[i] = buffers[i][:n*w]
		}
		if err := s.source.Batch(rows[:n], part); err != nil {
			return fmt.Errorf("evaluate: %w", err)
		}
		if err := s.finite(part, widths, rows); err != nil {
			return err
		}
		info, err := s.store.TokenRows(rows[:n])
		if err != nil {
			return fmt.Errorf("evaluate: %w", err)
		}
		doc := make([]int64, n)
		for i, row := range info {
			doc[i] = row.Doc
		}
		x := join(part[:len(s.read)], s.read, n)
		target := x
		if s.write != nil {
			target = join(part[len(s.read):], s.write, n)
		}
		if err := visit(x, target, doc); err != nil {
			return err
		}
		seen += int64(n)
	}
	return nil
}

func (s *sample) finite(parts [][]float32, widths []int, rows []int64) error {
	for i, p := range parts {
		for j, v := range p {
			if v-v != 0 {
				site := append(s.sites.reads(), s.sites.writes()...)[i]
				return fmt.Errorf("evaluate: row %d, dimension %d of %s is %v: %w; look at the store with `loupe store verify`", rows[j/widths[i]], j%widths[i], site, v, sae.ErrNonFinite)
			}
		}
	}
	return nil
}

// join puts the n rows of several sites one after the other, row by row.
func join(parts [][]float32, widths []int, n int) []float32 {
	if len(parts) == 1 {
		return parts[0]
	}
	out := make([]float32, 0, n*sum(widths))
	for r := range n {
		for i, w := range widths {
			out = append(out, parts[i][r*w:(r+1)*w]...)
		}
	}
	return out
}

// bySites splits dictionaries by the sites that they read and write, in the order of their first members.
func bySites(dicts []*Dictionary) (keys []siteKey, members map[siteKey][]*Dictionary) {
	members = map[siteKey][]*Dictionary{}
	for _, d := range dicts {
		if members[d.sites()] == nil {
			keys = append(keys, d.sites())
		}
		members[d.sites()] = append(members[d.sites()], d)
	}
	return keys, members
}
