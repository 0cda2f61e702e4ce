// Package mmap maps whole files into memory, read-only.
package mmap

import (
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"syscall"
)

// Map is a file mapped read-only. Its pages are read from the file when they are first touched and can be dropped
// by the system at any time, so a map costs address space, not memory.
//
// A file that another process shortens while it is mapped makes the program fail with SIGBUS on access; replace
// files by rename (internal/atomicfile), never in place.
type Map struct {
	data   []byte
	closed atomic.Bool
}

// Open maps the regular file at path. The map starts at a page boundary. The caller must Close it.
func Open(path string) (*Map, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the operation and the path
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch size := info.Size(); {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("map %s: it is not a regular file (%s)", path, info.Mode().Type())
	case size > math.MaxInt:
		return nil, fmt.Errorf("map %s: %d bytes exceed the address space", path, size)
	case size == 0: // an empty range cannot be mapped
		return &Map{}, nil
	default:
		data, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("map %s (%d bytes): %w", path, size, err)
		}
		return &Map{data: data}, nil
	}
}

// Bytes returns the file's bytes, or nil after Close. The slice is read-only memory: writing to it, or reading it
// after Close, ends the process with a fault that cannot be recovered.
func (m *Map) Bytes() []byte {
	if m.closed.Load() {
		return nil
	}
	return m.data
}

// Close unmaps the file. A second Close does nothing.
func (m *Map) Close() error {
	if m.closed.Swap(true) || m.data == nil {
		return nil
	}
	return syscall.Munmap(m.data)
}
