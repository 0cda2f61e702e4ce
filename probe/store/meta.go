package store

import (
	"fmt"

	"loupe/internal/arrowio"
)

// TokenRow is what the store says about a token row besides its activations.
type TokenRow struct {
	Row                                          int64
	Doc                                          int64
	Pos, Seq, Segment, Token, CharStart, CharEnd int32
	Special                                      bool
}

// TokenRows returns the given token rows, in their order.
func (s *Store) TokenRows(rows []int64) ([]TokenRow, error) {
	out := make([]TokenRow, len(rows))
	type columns struct {
		doc     []int64
		i32     [6][]int32
		special []bool
	}
	cache := map[[2]int64]columns{} // by shard start and batch
	for k, row := range rows {
		if row < 0 || row >= s.token.rows {
			return nil, fmt.Errorf("store: token row %d of %d", row, s.token.rows)
		}
		v := s.token.find(row)
		b := (row - v.start) >> s.token.shift
		c, ok := cache[[2]int64{v.start, b}]
		if !ok {
			var err error
			if c.doc, err = arrowio.Values[int64](v.file, int(b), 0); err != nil {
				return nil, fmt.Errorf("store: %w", err)
			}
			for i := range c.i32 {
				if c.i32[i], err = arrowio.Values[int32](v.file, int(b), 1+i); err != nil {
					return nil, fmt.Errorf("store: %w", err)
				}
			}
			if c.special, err = v.file.Bools(int(b), 7); err != nil {
				return nil, fmt.Errorf("store: %w", err)
			}
			cache[[2]int64{v.start, b}] = c
		}
		r := (row - v.start) & s.token.mask
		out[k] = TokenRow{
			Row: row, Doc: c.doc[r], Pos: c.i32[0][r], Seq: c.i32[1][r], Segment: c.i32[2][r], Token: c.i32[3][r],
			CharStart: c.i32[4][r], CharEnd: c.i32[5][r], Special: c.special[r],
		}
	}
	return out, nil
}

// ExampleIDs returns doc and pair of every example row.
func (s *Store) ExampleIDs() (doc, pair []int64, err error) {
	for _, v := range s.example.shards {
		for b := range v.file.Batches() {
			d, err := arrowio.Values[int64](v.file, b, 0)
			if err != nil {
				return nil, nil, fmt.Errorf("store: %w", err)
			}
			p, err := arrowio.Values[int64](v.file, b, 1)
			if err != nil {
				return nil, nil, fmt.Errorf("store: %w", err)
			}
			doc, pair = append(doc, d...), append(pair, p...)
		}
	}
	return doc, pair, nil
}

// Docs is docs.arrow without its text, in the order of the file.
type Docs struct {
	ID                   []int64
	Source, Split, Group []string
	// Labels has a column for each label of the store.
	Labels map[string][]string
	index  map[int64]int
	file   *arrowio.File
}

// Docs returns the documents of a complete store. The first call reads them.
func (s *Store) Docs() (*Docs, error) { return s.docs() }

func (s *Store) readDocs() (*Docs, error) {
	if s.docsMap == nil {
		return nil, fmt.Errorf("store: %s: %w, and its documents are listed at the end; resume its capture", s.dir, ErrIncomplete)
	}
	d := &Docs{Labels: map[string][]string{}, index: map[int64]int{}, file: s.docsMap}
	same := map[string]string{} // one copy of each class and split
	column := func(b, col int, out []string) ([]string, error) {
		v, err := d.file.Strings(b, col)
		for i, x := range v {
			if _, ok := same[x]; !ok {
				same[x] = x
			}
			v[i] = same[x]
		}
		return append(out, v...), err
	}
	for b := range d.file.Batches() {
		ids, err := arrowio.Values[int64](d.file, b, 0)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		for _, id := range ids {
			if _, twice := d.index[id]; twice {
				return nil, fmt.Errorf("store: %s: document %d is there twice; run `loupe store verify`", docsName, id)
			}
			d.index[id] = len(d.ID)
			d.ID = append(d.ID, id)
		}
		for _, c := range []struct {
			col int
			dst *[]string
		}{{1, &d.Source}, {4, &d.Split}, {5, &d.Group}} {
			if *c.dst, err = column(b, c.col, *c.dst); err != nil {
				return nil, fmt.Errorf("store: %w", err)
			}
		}
		for i, l := range s.man.Labels {
			if d.Labels[l], err = column(b, 6+i, d.Labels[l]); err != nil {
				return nil, fmt.Errorf("store: %w", err)
			}
		}
	}
	return d, nil
}

// Len returns the number of documents.
func (d *Docs) Len() int { return len(d.ID) }

// Index returns the place of the document with the given id, or -1.
func (d *Docs) Index(id int64) int {
	if i, ok := d.index[id]; ok {
		return i
	}
	return -1
}

// Text returns the text and the SHA-256 of document i. The text is empty where the store keeps none.
func (d *Docs) Text(i int) (text, digest string, err error) {
	for b := range d.file.Batches() {
		if n := d.file.BatchRows(b); i >= n {
			i -= n
			continue
		}
		if text, err = d.file.StringAt(b, 2, i); err == nil {
			digest, err = d.file.StringAt(b, 3, i)
		}
		if err != nil {
			return "", "", fmt.Errorf("store: %w", err)
		}
		return text, digest, nil
	}
	return "", "", fmt.Errorf("store: document %d of %d", i, d.Len())
}
