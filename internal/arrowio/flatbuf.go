package arrowio

import (
	"encoding/binary"
	"errors"
)

// errFlat says that a flatbuffer points outside itself.
var errFlat = errors.New("metadata points outside itself")

// flat reads a flatbuffer whose offsets are not trusted. A read outside the buffer returns zero and sets bad.
type flat struct {
	b   []byte
	bad bool
	// budget bounds the tables visited, since tables may be shared and a small buffer could otherwise describe an
	// exponential tree.
	budget int
}

func (f *flat) at(pos, n int) []byte {
	if pos < 0 || n < 0 || pos > len(f.b)-n {
		f.bad = true
		return make([]byte, min(max(n, 0), 8))
	}
	return f.b[pos : pos+n]
}

func (f *flat) u16(pos int) int   { return int(binary.LittleEndian.Uint16(f.at(pos, 2))) }
func (f *flat) u32(pos int) int   { return int(binary.LittleEndian.Uint32(f.at(pos, 4))) }
func (f *flat) i32(pos int) int   { return int(int32(binary.LittleEndian.Uint32(f.at(pos, 4)))) }
func (f *flat) i64(pos int) int64 { return int64(binary.LittleEndian.Uint64(f.at(pos, 8))) }

// follow returns the position that the offset at pos leads to.
func (f *flat) follow(pos int) int { return pos + f.u32(pos) }

// flatTable is a table: the position of its first byte and of its vtable.
type flatTable struct {
	f                 *flat
	pos, vtable, slot int
}

func (f *flat) table(pos int) flatTable {
	f.budget--
	if f.budget < 0 {
		f.bad = true
	}
	if f.bad {
		return flatTable{f: f}
	}
	vtable := pos - f.i32(pos)
	return flatTable{f: f, pos: pos, vtable: vtable, slot: (f.u16(vtable) - 4) / 2}
}

// field returns the position of field i, or 0 when the table lacks it.
func (t flatTable) field(i int) int {
	if i >= t.slot || t.f.bad {
		return 0
	}
	off := t.f.u16(t.vtable + 4 + 2*i)
	if off == 0 {
		return 0
	}
	return t.pos + off
}

func (t flatTable) child(i int) (flatTable, bool) {
	p := t.field(i)
	if p == 0 {
		return flatTable{}, false
	}
	return t.f.table(t.f.follow(p)), !t.f.bad
}

// vector returns the position of the first element and the number of elements of size bytes.
func (t flatTable) vector(i, size int) (pos, n int) {
	p := t.field(i)
	if p == 0 {
		return 0, 0
	}
	p = t.f.follow(p)
	n = t.f.u32(p)
	if n > len(t.f.b)/size {
		t.f.bad = true
		return 0, 0
	}
	t.f.at(p+4, n*size)
	if t.f.bad {
		return 0, 0
	}
	return p + 4, n
}

func (t flatTable) string(i int) string {
	pos, n := t.vector(i, 1)
	return string(t.f.at(pos, n)[:n])
}

func (t flatTable) int(i, size int, missing int64) int64 {
	p := t.field(i)
	if p == 0 {
		return missing
	}
	switch size {
	case 1:
		return int64(t.f.at(p, 1)[0])
	case 2:
		return int64(int16(t.f.u16(p)))
	case 4:
		return int64(t.f.i32(p))
	}
	return t.f.i64(p)
}
