package sae

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// Rows is a source of activation rows of one width, in a fixed order that can be left and taken up again.
type Rows interface {
	// Next copies the next rows into dst, whose length is a multiple of the width, and returns how many rows it
	// copied. It returns io.EOF, and no rows, when there are none left.
	Next(dst []float32) (n int, err error)
	// State returns where the source stands.
	State() ([]byte, error)
	// Restore puts the source where a State of an equal source stood.
	Restore(state []byte) error
}

// MemoryRows serves rows that lie in memory, in a new seeded order in each epoch.
type MemoryRows struct {
	data   []float32
	width  int
	run    int // rows that stay together, in order
	seed   uint64
	epochs int // 0: without end
	epoch  int
	next   int
	order  []int
}

// NewMemoryRows returns the rows of data, row-major with the given width, for a number of epochs (0: without end).
// A zero seed keeps their order; any other shuffles each epoch.
func NewMemoryRows(data []float32, width int, seed uint64, epochs int) (*MemoryRows, error) {
	return NewMemorySequences(data, width, 1, seed, epochs)
}

// NewMemorySequences returns rows as [NewMemoryRows] does, but shuffles whole sequences of context rows, whose rows stay in
// order, as temporal SAEs want them.
func NewMemorySequences(data []float32, width, context int, seed uint64, epochs int) (*MemoryRows, error) {
	if width < 1 || context < 1 || len(data) == 0 || len(data)%(context*width) != 0 {
		return nil, fmt.Errorf("sae: rows: %d values are not a positive number of sequences of %d rows of width %d", len(data), context, width)
	}
	r := &MemoryRows{data: data, width: width, run: context, seed: seed, epochs: epochs}
	r.shuffle()
	return r, nil
}

func (r *MemoryRows) shuffle() {
	n := len(r.data) / (r.run * r.width)
	if r.seed != 0 {
		r.order = rand.New(rand.NewPCG(r.seed, uint64(r.epoch))).Perm(n)
		return
	}
	r.order = make([]int, n)
	for i := range r.order {
		r.order[i] = i
	}
}

// Next implements [Rows].
func (r *MemoryRows) Next(dst []float32) (int, error) {
	n := 0
	for ; (n+1)*r.width <= len(dst); n++ {
		if r.next == len(r.order)*r.run {
			if r.epochs != 0 && r.epoch+1 >= r.epochs {
				break
			}
			r.epoch, r.next = r.epoch+1, 0
			r.shuffle()
		}
		row := r.order[r.next/r.run]*r.run + r.next%r.run
		copy(dst[n*r.width:(n+1)*r.width], r.data[row*r.width:])
		r.next++
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

type memoryState struct{ Epoch, Next int }

// State implements [Rows].
func (r *MemoryRows) State() ([]byte, error) { return json.Marshal(memoryState{r.epoch, r.next}) }

// Restore implements [Rows].
func (r *MemoryRows) Restore(state []byte) error {
	var s memoryState
	if err := json.Unmarshal(state, &s); err != nil {
		return fmt.Errorf("sae: rows: cursor: %w", err)
	}
	if s.Epoch < 0 || s.Next < 0 || s.Next > len(r.data)/r.width {
		return fmt.Errorf("sae: rows: cursor at epoch %d, row %d lies outside %d rows", s.Epoch, s.Next, len(r.data)/r.width)
	}
	r.epoch, r.next = s.Epoch, s.Next
	r.shuffle()
	return nil
}

// fill reads exactly len(dst)/width rows, or as many as there are; it returns their number.
func fill(rows Rows, dst []float32, width int) (int, error) {
	n, want := 0, len(dst)/width
	for n < want {
		got, err := rows.Next(dst[n*width:])
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("sae: read rows: %w", err)
		}
		if got < 1 || got > want-n {
			return n, fmt.Errorf("sae: read rows: the source returned %d rows where 1 to %d fit", got, want-n)
		}
		n += got
	}
	return n, nil
}
