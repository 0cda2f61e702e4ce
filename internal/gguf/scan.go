package gguf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	lib "github.com/gomlx/go-huggingface/models/gguf"
)

// Limits of the library, repeated so that a file beyond them gives an error of ours.
const (
	maxKeys     = 1 << 16
	maxTensors  = 1 << 20
	maxElements = 1 << 24 // of a metadata array
	maxString   = 1 << 20
	maxRank     = 8

	defaultAlignment = 32
	maxAlignment     = 1 << 20
)

// Value types of metadata.
const (
	typeString = 8
	typeArray  = 9
)

// entry is a tensor as the file describes it.
type entry struct {
	Tensor
	kind   lib.TensorType
	len    int // elements
	offset uint64
	size   int // bytes; -1 for a type whose block size is not known
}

// scan walks the header of a whole file and checks it against the file's size, so that nothing that the library
// allocates or reads later is larger than the file justifies. It allocates in proportion to the number of keys and
// tensors that are really there.
func scan(file []byte) ([]entry, error) {
	c := &cursor{b: file}
	tensorCount, keyCount, err := c.preamble()
	if err != nil {
		return nil, err
	}
	alignment, err := c.metadata(keyCount)
	if err != nil {
		return nil, err
	}
	entries, err := c.tensors(tensorCount)
	if err != nil {
		return nil, err
	}
	start := (uint64(c.at) + alignment - 1) / alignment * alignment
	if start > uint64(len(file)) {
		start = uint64(len(file)) // a file without data need not be padded
	}
	return entries, checkOffsets(entries, uint64(len(file))-start, alignment)
}

// cursor reads a file from front to back.
type cursor struct {
	b  []byte
	at int
}

func (c *cursor) left() uint64 { return uint64(len(c.b) - c.at) }

// take returns the next n bytes.
func (c *cursor) take(n uint64) ([]byte, error) {
	if n > c.left() {
		return nil, fmt.Errorf("byte %d: %d bytes are needed, but the file ends after %d", c.at, n, c.left())
	}
	b := c.b[c.at : c.at+int(n)]
	c.at += int(n)
	return b, nil
}

func (c *cursor) uint32() (uint32, error) {
	b, err := c.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (c *cursor) uint64() (uint64, error) {
	b, err := c.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (c *cursor) string() (string, error) {
	n, err := c.uint64()
	if err != nil {
		return "", err
	}
	if n > maxString {
		return "", fmt.Errorf("byte %d: a string of %d bytes is longer than the limit of %d", c.at, n, maxString)
	}
	b, err := c.take(n)
	return string(b), err
}

// preamble reads everything before the metadata.
func (c *cursor) preamble() (tensors, keys uint64, err error) {
	magic, err := c.take(4)
	if err != nil {
		return 0, 0, err
	}
	if string(magic) != "GGUF" {
		return 0, 0, fmt.Errorf("it starts with %q, not with \"GGUF\"", magic)
	}
	version, err := c.uint32()
	if err != nil {
		return 0, 0, err
	}
	switch version {
	case 2, 3:
	case 2 << 24, 3 << 24:
		return 0, 0, errors.New("it is big-endian; only little-endian files can be read")
	default:
		return 0, 0, fmt.Errorf("its version is %d; only 2 and 3 can be read", version)
	}
	if tensors, err = c.count("tensors", maxTensors, 24); err != nil { // name length, rank, type, offset
		return 0, 0, err
	}
	keys, err = c.count("metadata keys", maxKeys, 13) // key length, type, one byte
	return tensors, keys, err
}

// count reads a number of things, each of at least size bytes, that are still to come.
func (c *cursor) count(things string, limit, size uint64) (uint64, error) {
	n, err := c.uint64()
	switch {
	case err != nil:
		return 0, err
	case n > limit:
		return 0, fmt.Errorf("byte %d: %d %s exceed the limit of %d", c.at, n, things, limit)
	case n > c.left()/size:
		return 0, fmt.Errorf("byte %d: it claims %d %s, but only %d bytes follow", c.at, n, things, c.left())
	}
	return n, nil
}

// metadata walks the metadata and returns the alignment.
func (c *cursor) metadata(count uint64) (alignment uint64, err error) {
	alignment = defaultAlignment
	seen := map[string]bool{}
	for i := range count {
		key, err := c.string()
		if err != nil {
			return 0, fmt.Errorf("metadata key %d of %d: %w", i, count, err)
		}
		if seen[key] {
			return 0, fmt.Errorf("metadata key %q appears twice", key)
		}
		seen[key] = true
		kind, err := c.uint32()
		if err != nil {
			return 0, fmt.Errorf("metadata key %q: %w", key, err)
		}
		from := c.at
		if err := c.skipValue(kind); err != nil {
			return 0, fmt.Errorf("metadata key %q: %w", key, err)
		}
		if key != lib.KeyGeneralAlignment {
			continue
		}
		const typeUint32 = 4
		if kind == typeUint32 {
			alignment = uint64(binary.LittleEndian.Uint32(c.b[from:]))
		}
		if kind != typeUint32 || alignment == 0 || alignment > maxAlignment || alignment&(alignment-1) != 0 {
			return 0, fmt.Errorf("metadata key %q is not a power of two up to %d, stored as uint32", key, maxAlignment)
		}
	}
	return alignment, nil
}

// fixedSize returns the bytes of a metadata value that is neither a string nor an array.
func fixedSize(kind uint32) (uint64, error) {
	sizes := [...]uint64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
	if kind >= uint32(len(sizes)) || sizes[kind] == 0 {
		return 0, fmt.Errorf("its value type %d is unknown or not allowed here", kind)
	}
	return sizes[kind], nil
}

func (c *cursor) skipValue(kind uint32) error {
	switch kind {
	case typeString:
		_, err := c.string()
		return err
	case typeArray:
		return c.skipArray()
	}
	size, err := fixedSize(kind)
	if err != nil {
		return err
	}
	_, err = c.take(size)
	return err
}

func (c *cursor) skipArray() error {
	kind, err := c.uint32()
	if err != nil {
		return err
	}
	if kind == typeString {
		n, err := c.count("strings", maxElements, 8)
		if err != nil {
			return err
		}
		for i := range n {
			if _, err := c.string(); err != nil {
				return fmt.Errorf("string %d of %d: %w", i, n, err)
			}
		}
		return nil
	}
	size, err := fixedSize(kind) // refuses arrays of arrays, as the library does
	if err != nil {
		return err
	}
	n, err := c.count("elements", maxElements, size)
	if err != nil {
		return err
	}
	_, err = c.take(n * size)
	return err
}

// tensors reads the list of tensors.
func (c *cursor) tensors(count uint64) ([]entry, error) {
	entries := make([]entry, 0, count)
	seen := map[string]bool{}
	for i := range count {
		name, err := c.string()
		if err != nil {
			return nil, fmt.Errorf("name of tensor %d of %d: %w", i, count, err)
		}
		if seen[name] {
			return nil, fmt.Errorf("tensor %q appears twice", name)
		}
		seen[name] = true
		e, err := c.tensor(name)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// tensor reads the description of one tensor after its name.
func (c *cursor) tensor(name string) (entry, error) {
	e := entry{Tensor: Tensor{Name: name}}
	rank, err := c.uint32()
	if err != nil {
		return e, err
	}
	if rank > maxRank {
		return e, fmt.Errorf("its rank %d exceeds the limit of %d", rank, maxRank)
	}
	e.Shape = make([]int, rank)
	for i := range e.Shape {
		d, err := c.uint64()
		if err != nil {
			return e, err
		}
		if d > math.MaxInt64/8 {
			return e, fmt.Errorf("dimension %d is %d, more than any file can hold", i, d)
		}
		e.Shape[len(e.Shape)-1-i] = int(d)
	}
	kind, err := c.uint32()
	if err != nil {
		return e, err
	}
	e.kind = lib.TensorType(kind)
	e.Type = e.kind.String()
	if e.offset, err = c.uint64(); err != nil {
		return e, err
	}
	return e, e.measure()
}

// measure sets len and size. The product of the dimensions, with zeros counted as ones, must not overflow.
func (e *entry) measure() error {
	const most = math.MaxInt64 / 8 // a float32, or the widest element of a file, is at most 8 bytes
	e.len = 1
	empty := false
	for _, d := range e.Shape {
		switch {
		case d == 0:
			empty = true
		case e.len > most/d:
			return fmt.Errorf("shape %v has more elements than any file can hold", e.Shape)
		default:
			e.len *= d
		}
	}
	if empty {
		e.len = 0
	}
	block, bytes := e.kind.BlockSize(), e.kind.TypeSize()
	if block == 0 || bytes == 0 {
		e.size = -1
		return nil
	}
	if block > 1 && (len(e.Shape) == 0 || e.Shape[len(e.Shape)-1]%block != 0) {
		return fmt.Errorf("rows of shape %v are no multiple of %d, the block size of %s", e.Shape, block, e.Type)
	}
	e.size = e.len / block * bytes
	return nil
}

// checkOffsets demands that every tensor lies in the data part, aligned, and that no two overlap.
func checkOffsets(entries []entry, dataSize, alignment uint64) error {
	order := slices.Clone(entries)
	slices.SortFunc(order, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.size, b.size), cmp.Compare(a.Name, b.Name))
	})
	var end uint64
	for i, e := range order {
		size := uint64(max(e.size, 0))
		switch {
		case e.offset%alignment != 0:
			return fmt.Errorf("tensor %q has the offset %d, no multiple of the alignment %d", e.Name, e.offset, alignment)
		case e.offset > dataSize || size > dataSize-e.offset:
			return fmt.Errorf("tensor %q (%s, shape %v) needs %d bytes at offset %d, but the file holds %d bytes of data",
				e.Name, e.Type, e.Shape, size, e.offset, dataSize)
		case e.offset < end:
			return fmt.Errorf("tensor %q at offset %d overlaps tensor %q, which ends at %d", e.Name, e.offset, order[i-1].Name, end)
		}
		end = e.offset + size
	}
	return nil
}
