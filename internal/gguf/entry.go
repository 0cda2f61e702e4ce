package gguf

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	lib "github.com/gomlx/go-huggingface/models/gguf"
)

// entry is a tensor as the file describes it.
type entry struct {
	Tensor
	kind   lib.TensorType
	len    int // elements
	offset uint64
	size   int // bytes; -1 for a type whose block size is not known
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
