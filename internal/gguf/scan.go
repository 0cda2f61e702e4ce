package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"

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
