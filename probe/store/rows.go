package store

import (
	"errors"
	"fmt"
)

// Rows are token rows in views of the caller's memory; Append copies them. Doc, Pos and Token have a value a row; the
// others too, or they are nil and count as zero (false).
type Rows struct {
	Doc     []int64
	Pos     []int32 // position in the sequence, without padding
	Seq     []int32 // sequence within the document (or within the pack)
	Segment []int32 // token type id
	Token   []int32
	// CharStart and CharEnd are the token's place in the document, in code points.
	CharStart, CharEnd []int32
	Special            []bool
	// Sites has a view [m, d] for each token site, in the order of the spec.
	Sites [][]float32
	// Take lists which rows of every view of Sites belong to the rows above, so that padding need not be cut out first.
	// Nil means all.
	Take []int32
}

// Examples are example rows: one for each document, or for each side of a pair.
type Examples struct {
	Doc []int64
	// Pair joins the rows of a pair; nil counts as zero.
	Pair []int64
	// Sites has a view [m, d] for each example site, in the order of the spec; Take is as in Rows.
	Sites [][]float32
	Take  []int32
}

// Batch is what one Append adds.
type Batch struct {
	// Docs must hold a document in the same or an earlier batch than its rows.
	Docs     []Doc
	Rows     Rows
	Examples Examples
	// State is what the caller needs to go on after this batch. Resume returns the last one that is safe on disk.
	State []byte
}

// source is Rows or Examples seen as the columns of a table.
type source struct {
	i64   [][]int64
	i32   [][]int32
	bl    [][]bool
	sites [][]float32
	take  []int32
}

func (r *Rows) source() source {
	return source{
		i64:   [][]int64{r.Doc},
		i32:   [][]int32{r.Pos, r.Seq, r.Segment, r.Token, r.CharStart, r.CharEnd},
		bl:    [][]bool{r.Special},
		sites: r.Sites, take: r.Take,
	}
}

func (e *Examples) source() source {
	return source{i64: [][]int64{e.Doc, e.Pair}, sites: e.Sites, take: e.Take}
}

// check returns the number of rows, or an error when a column does not fit it.
func (s source) check(t *table) (int, error) {
	n := len(s.i64[0])
	if t.per == Token && (len(s.i32[0]) != n || len(s.i32[3]) != n) {
		return 0, fmt.Errorf("%d docs, %d positions and %d tokens; every row needs each", n, len(s.i32[0]), len(s.i32[3]))
	}
	for i, c := range s.i64 {
		if c != nil && len(c) != n {
			return 0, fmt.Errorf("column %s has %d rows of %d", t.i64[i], len(c), n)
		}
	}
	for i, c := range s.i32 {
		if c != nil && len(c) != n {
			return 0, fmt.Errorf("column %s has %d rows of %d", t.i32[i], len(c), n)
		}
	}
	for i, c := range s.bl {
		if c != nil && len(c) != n {
			return 0, fmt.Errorf("column %s has %d rows of %d", t.bl[i], len(c), n)
		}
	}
	if n == 0 {
		return 0, nil
	}
	if len(s.sites) != len(t.sites) {
		return 0, fmt.Errorf("%d views for %d %s sites", len(s.sites), len(t.sites), t.per)
	}
	if s.take != nil && len(s.take) != n {
		return 0, fmt.Errorf("take lists %d rows of %d", len(s.take), n)
	}
	for i, x := range s.sites {
		d := t.sites[i].Dim()
		if len(x)%d != 0 || s.take == nil && len(x) != n*d {
			return 0, fmt.Errorf("site %s: a view of %d values is not %d rows of %d", t.sites[i].Name, len(x), n, d)
		}
		for _, r := range s.take {
			if r < 0 || int(r) >= len(x)/d {
				return 0, fmt.Errorf("site %s: row %d of a view of %d", t.sites[i].Name, r, len(x)/d)
			}
		}
	}
	return n, nil
}

// block is a record batch that is being filled.
type block struct {
	table *table
	n     int
	i64   [][]int64
	i32   [][]int32
	bl    [][]bool
	x     [][]float32 // by site
	half  [][]uint16  // by site, for float16 sites
	tuple []int32     // the combination of classes of each row's document
}

func newBlock(t *table, rows int) *block {
	b := &block{table: t, tuple: make([]int32, rows)}
	for range t.i64 {
		b.i64 = append(b.i64, make([]int64, rows))
	}
	for range t.i32 {
		b.i32 = append(b.i32, make([]int32, rows))
	}
	for range t.bl {
		b.bl = append(b.bl, make([]bool, rows))
	}
	b.half = make([][]uint16, len(t.sites))
	for i, s := range t.sites {
		b.x = append(b.x, make([]float32, rows*s.Dim()))
		if s.DType == Float16 {
			b.half[i] = make([]uint16, rows*s.Dim())
		}
	}
	return b
}

var errUnknownDoc = errors.New("its document has not been added; put it in Batch.Docs of this or an earlier batch")

// fill copies rows [from, n) of s as far as they fit and returns how many it took.
func (b *block) fill(s source, from int, classes *classIndex) (int, error) {
	k := min(len(s.i64[0])-from, len(b.tuple)-b.n)
	for r, doc := range s.i64[0][from : from+k] {
		t, ok := classes.docs[doc]
		if !ok {
			return 0, fmt.Errorf("document %d: %w", doc, errUnknownDoc)
		}
		b.tuple[b.n+r] = t
	}
	for i, c := range s.i64 {
		copyOrZero(b.i64[i][b.n:b.n+k], c, from)
	}
	for i, c := range s.i32 {
		copyOrZero(b.i32[i][b.n:b.n+k], c, from)
	}
	for i, c := range s.bl {
		copyOrZero(b.bl[i][b.n:b.n+k], c, from)
	}
	for i, x := range s.sites {
		d := b.table.sites[i].Dim()
		out := b.x[i][b.n*d : (b.n+k)*d]
		if s.take == nil {
			copy(out, x[from*d:])
		} else {
			for r, src := range s.take[from : from+k] {
				copy(out[r*d:(r+1)*d], x[int(src)*d:])
			}
		}
		if !finite(out) {
			return 0, b.notFinite(i, k)
		}
	}
	b.n += k
	return k, nil
}

func copyOrZero[T any](dst, src []T, from int) {
	if src == nil {
		clear(dst)
		return
	}
	copy(dst, src[from:])
}

// notFinite finds the value among the k rows after the block's first n.
func (b *block) notFinite(site, k int) error {
	d := b.table.sites[site].Dim()
	for r := b.n; r < b.n+k; r++ {
		for j, v := range b.x[site][r*d : (r+1)*d] {
			if !isFinite(v) {
				return fmt.Errorf("site %s: value %v at %s, dimension %d; the model's activations are broken there: look at this document, or compute in float32",
					b.table.sites[site].Name, v, b.place(r), j)
			}
		}
	}
	return nil
}

// place names a row in the user's terms.
func (b *block) place(r int) string {
	if b.table.per == Example {
		return fmt.Sprintf("document %d", b.i64[0][r])
	}
	return fmt.Sprintf("document %d, position %d (token %d)", b.i64[0][r], b.i32[0][r], b.i32[3][r])
}

// quantise fills the float16 columns and replaces the float32 values by what a reader will see.
func (b *block) quantise(sites []Site) error {
	for i, s := range sites {
		if s.DType != Float16 {
			continue
		}
		x, inv := b.x[i][:b.n*s.Dim()], 1/s.Scale
		for j, v := range x {
			h, ok := toHalf(v * inv)
			if !ok {
				r := j / s.Dim()
				return fmt.Errorf("site %s: value %v at %s is beyond float16 with scale %v (at most %v); set a greater scale for this site, or store it as float32",
					s.Name, v, b.place(r), s.Scale, maxHalf*s.Scale)
			}
			b.half[i][j] = h
		}
		fromHalf(x, b.half[i][:len(x)], s.Scale)
	}
	return nil
}

// columns returns the filled part in the order of the file.
func (b *block) columns() []any {
	var out []any
	for _, c := range b.i64 {
		out = append(out, c[:b.n])
	}
	for _, c := range b.i32 {
		out = append(out, c[:b.n])
	}
	for _, c := range b.bl {
		out = append(out, c[:b.n])
	}
	for i, s := range b.table.sites {
		if s.DType == Float16 {
			out = append(out, b.half[i][:b.n*s.Dim()])
		} else {
			out = append(out, b.x[i][:b.n*s.Dim()])
		}
	}
	return out
}
