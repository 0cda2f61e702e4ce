package store

import (
	"fmt"
	"maps"
	"math/bits"

	"loupe/internal/arrowio"
)

// Columns of rows before the sites, by type and in the order of the file.
var (
	tokenInt64   = []string{"doc"}
	tokenInt32   = []string{"pos", "seq", "segment", "token", "char_start", "char_end"}
	tokenBool    = []string{"special"}
	exampleInt64 = []string{"doc", "pair"}
)

var reserved = map[string]bool{
	"doc": true, "pos": true, "seq": true, "segment": true, "token": true, "char_start": true, "char_end": true,
	"special": true, "pair": true,
}

// table is the layout of the token or the example table: the columns of its files.
type table struct {
	per          Per
	i64, i32, bl []string
	sites        []Site
}

func newTable(per Per, sites []Site) *table {
	t := &table{per: per, i64: tokenInt64, i32: tokenInt32, bl: tokenBool}
	if per == Example {
		t.i64, t.i32, t.bl = exampleInt64, nil, nil
	}
	for _, s := range sites {
		if s.Per == per {
			t.sites = append(t.sites, s)
		}
	}
	return t
}

// schema returns the schema of the table's files.
func (t *table) schema() arrowio.Schema {
	s := arrowio.Schema{Meta: map[string]string{"loupe.store": string(t.per), "loupe.format": fmt.Sprint(FormatVersion)}}
	for _, n := range t.i64 {
		s.Fields = append(s.Fields, arrowio.Field{Name: n, Kind: arrowio.Int64})
	}
	for _, n := range t.i32 {
		s.Fields = append(s.Fields, arrowio.Field{Name: n, Kind: arrowio.Int32})
	}
	for _, n := range t.bl {
		s.Fields = append(s.Fields, arrowio.Field{Name: n, Kind: arrowio.Bool})
	}
	for _, site := range t.sites {
		s.Fields = append(s.Fields, site.field())
	}
	return s
}

// firstSite is the index of the first site's column.
func (t *table) firstSite() int { return len(t.i64) + len(t.i32) + len(t.bl) }

func (t *table) rowBytes() int64 {
	n := int64(8*len(t.i64) + 4*len(t.i32) + len(t.bl))
	for _, s := range t.sites {
		n += s.bytes()
	}
	return n
}

// batchRows is the number of rows of a record batch: the power of two whose batch has at most 8 MiB.
func (t *table) batchRows() int {
	n := int(8 << 20 / t.rowBytes())
	return min(max(1<<(bits.Len(uint(max(n, 1)))-1), 64), 1<<16)
}

// file is the path of a shard's file inside the store.
func (t *table) file(shard int) string { return fmt.Sprintf("%s/%05d.arrow", t.per, shard) }

// matches checks a file's schema against the table's.
func (t *table) matches(got arrowio.Schema) error {
	want := t.schema()
	if len(got.Fields) != len(want.Fields) {
		return fmt.Errorf("it has %d columns and the manifest says %d", len(got.Fields), len(want.Fields))
	}
	for i, w := range want.Fields {
		g := got.Fields[i]
		if g.Name != w.Name || g.Kind != w.Kind || g.Size != w.Size || g.Nested || !maps.Equal(g.Meta, w.Meta) {
			return fmt.Errorf("column %d is %q (%s[%d] %v) and the manifest says %q (%s[%d] %v)",
				i, g.Name, g.Kind, g.Size, g.Meta, w.Name, w.Kind, w.Size, w.Meta)
		}
	}
	if !maps.Equal(got.Meta, want.Meta) {
		return fmt.Errorf("its metadata is %v and should be %v", got.Meta, want.Meta)
	}
	return nil
}
