package arrowio

import (
	"errors"
	"fmt"
)

// Numbers of Message.fbs and Schema.fbs.
const (
	metadataV4, metadataV5 = 3, 4

	headerSchema, headerDictionary, headerRecordBatch = 1, 2, 3

	typeInt, typeFloat, typeBinary, typeUtf8, typeBool = 2, 3, 4, 5, 6
	typeNull, typeDecimal, typeDate, typeTime          = 1, 7, 8, 9
	typeTimestamp, typeInterval, typeList, typeStruct  = 10, 11, 12, 13
	typeFixedBinary, typeFixedList, typeMap            = 15, 16, 17
	typeDuration, typeLargeBinary, typeLargeUtf8       = 18, 19, 20
	typeLargeList, typeRunEnd                          = 21, 22

	maxDepth, maxTables = 32, 1 << 16
)

// message is a decoded Message envelope; header is the position of its table in the flatbuffer.
type message struct {
	f      *flat
	kind   int
	header int
	body   int64
}

func decodeMessage(b []byte) (message, error) {
	f := &flat{b: b, budget: maxTables}
	t := f.table(f.follow(0))
	version := t.int(0, 2, 0)
	m := message{f: f, kind: int(t.int(1, 1, 0)), body: t.int(3, 8, 0)}
	if p := t.field(2); p != 0 {
		m.header = f.follow(p)
	}
	switch {
	case f.bad:
		return m, errFlat
	case version != metadataV4 && version != metadataV5:
		return m, fmt.Errorf("metadata version %d is not supported (V4 and V5 are)", version+1)
	case m.header == 0:
		return m, errors.New("a message has no header")
	case m.body < 0:
		return m, errFlat
	}
	return m, nil
}

// node is a field of the schema tree with what is needed to find its buffers in a batch.
type node struct {
	field    Field
	typ      int
	listSize int
	wide     bool // 64-bit offsets
	buffers  int  // -1: the layout is not known
	children []node
}

// decodeSchema reads a Schema table.
func decodeSchema(f *flat, pos int) (Schema, []node, error) {
	t := f.table(pos)
	if t.int(0, 2, 0) != 0 {
		return Schema{}, nil, errors.New("big-endian files are not supported")
	}
	first, n := t.vector(1, 4)
	var s Schema
	var nodes []node
	for i := range n {
		nd, err := decodeField(f, f.follow(first+4*i), 0)
		if err != nil {
			return Schema{}, nil, err
		}
		nodes = append(nodes, nd)
		s.Fields = append(s.Fields, nd.field)
	}
	s.Meta = decodePairs(t, 2)
	if f.bad {
		return Schema{}, nil, errFlat
	}
	if n == 0 {
		return Schema{}, nil, errors.New("the schema has no field")
	}
	return s, nodes, nil
}

func decodePairs(t flatTable, slot int) map[string]string {
	first, n := t.vector(slot, 4)
	if n == 0 {
		return nil
	}
	out := map[string]string{}
	for i := range n {
		kv := t.f.table(t.f.follow(first + 4*i))
		if t.f.bad {
			return nil
		}
		out[kv.string(0)] = kv.string(1)
	}
	return out
}

func decodeField(f *flat, pos, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, fmt.Errorf("fields are nested deeper than %d", maxDepth)
	}
	t := f.table(pos)
	nd := node{field: Field{Name: t.string(0), Meta: decodePairs(t, 6)}, typ: int(t.int(2, 1, 0))}
	kind, has := t.child(3)
	first, n := t.vector(5, 4)
	for i := range n {
		c, err := decodeField(f, f.follow(first+4*i), depth+1)
		if err != nil {
			return node{}, err
		}
		nd.children = append(nd.children, c)
	}
	if f.bad {
		return node{}, errFlat
	}
	if _, dict := t.child(4); dict {
		nd.buffers, nd.children = 2, nil // indices; the values are in dictionary batches
		return nd, nil
	}
	if has {
		nd.decodeType(kind)
	}
	if f.bad {
		return node{}, errFlat
	}
	return nd, nil
}

// decodeType sets the kind and the number of buffers (Columnar.rst, "Buffer Listing for Each Layout").
func (nd *node) decodeType(t flatTable) {
	nd.buffers = -1
	switch nd.typ {
	case typeNull, typeRunEnd:
		nd.buffers = 0
	case typeInt:
		nd.buffers = 2
		switch bits, signed := t.int(0, 4, 0), t.int(1, 1, 0) != 0; {
		case bits == 32 && signed:
			nd.field.Kind = Int32
		case bits == 64 && signed:
			nd.field.Kind = Int64
		}
	case typeFloat:
		nd.buffers = 2
		nd.field.Kind = map[int64]Kind{0: Float16, 1: Float32, 2: Float64}[t.int(0, 2, 0)]
	case typeBool:
		nd.buffers, nd.field.Kind = 2, Bool
	case typeUtf8, typeLargeUtf8:
		nd.buffers, nd.field.Kind, nd.wide = 3, String, nd.typ == typeLargeUtf8
	case typeBinary, typeLargeBinary:
		nd.buffers = 3
	case typeDecimal, typeDate, typeTime, typeTimestamp, typeInterval, typeFixedBinary, typeDuration:
		nd.buffers = 2
	case typeStruct:
		nd.buffers = 1
	case typeMap:
		nd.buffers = 2
	case typeList, typeLargeList, typeFixedList:
		nd.decodeList(t)
	}
}

func (nd *node) decodeList(t flatTable) {
	nd.buffers, nd.wide = 2, nd.typ == typeLargeList
	if nd.typ == typeFixedList {
		nd.buffers, nd.listSize = 1, int(t.int(0, 4, 0))
	}
	if len(nd.children) != 1 || nd.listSize < 0 {
		nd.buffers = -1
		return
	}
	item := nd.children[0]
	nd.field.Kind = item.field.Kind
	nd.field.Nested = nd.typ != typeFixedList || item.isList()
	if item.field.Kind.Bytes() == 0 {
		nd.field.Kind = Unsupported
	}
	if nd.typ == typeFixedList && !nd.field.Nested {
		nd.field.Size = nd.listSize
		if nd.listSize == 0 {
			nd.field.Kind = Unsupported
		}
	}
}

func (nd node) isList() bool {
	return nd.typ == typeList || nd.typ == typeLargeList || nd.typ == typeFixedList
}
