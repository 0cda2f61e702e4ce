package npy

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"loupe/internal/mmap"
)

// Read reads the array in the .npy file at path.
func Read(path string) (a *Array, err error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("npy: %w; give the path of a readable .npy file", err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	h, err := parseHeader(m.Bytes())
	if err != nil {
		return nil, fmt.Errorf("npy: %s is damaged, cut short or of another kind: %w; save the array again", path, err)
	}
	return array(path, h, bytes.Clone(m.Bytes()[h.data:])), nil
}

// array makes an Array of checked values, in C order.
func array(source string, h header, data []byte) *Array {
	if h.fortran {
		data = toC(data, h.shape, h.size)
	}
	if data == nil {
		data = []byte{}
	}
	return &Array{DType: h.dtype, Shape: h.shape, Data: data, source: source}
}

// toC reorders values from Fortran order, where the first index runs fastest, to C order.
func toC(data []byte, shape []int, size int) []byte {
	stride := make([]int, len(shape)) // bytes between neighbours along each axis in Fortran order
	step := size
	for axis, d := range shape {
		stride[axis] = step
		step *= d
	}
	index := make([]int, len(shape))
	out := make([]byte, 0, len(data))
	for from := 0; len(out) < len(data); {
		out = append(out, data[from:from+size]...)
		for axis := len(shape) - 1; axis >= 0; axis-- {
			index[axis]++
			from += stride[axis]
			if index[axis] < shape[axis] {
				break
			}
			from -= index[axis] * stride[axis]
			index[axis] = 0
		}
	}
	return out
}

// ReadArchive reads every array of the .npz file at path, by name without ".npy". Nothing is written to disk. maxBytes
// bounds the size of all arrays together after decompression, against archives that expand without end.
func ReadArchive(path string, maxBytes int64) (map[string]*Array, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("npy: %s: %w; give the path of a readable .npz file", path, err)
	}
	defer z.Close()
	arrays := map[string]*Array{}
	for _, member := range z.File {
		name, ok := strings.CutSuffix(member.Name, ".npy")
		if !ok {
			return nil, fmt.Errorf("npy: %s: member %q is no .npy file; save the arrays with numpy.savez", path, member.Name)
		}
		if arrays[name] != nil {
			return nil, fmt.Errorf("npy: %s: member %q appears twice; save the arrays again", path, member.Name)
		}
		b, err := readMember(member, maxBytes)
		if err == nil {
			maxBytes -= int64(len(b))
			var h header
			if h, err = parseHeader(b); err == nil {
				arrays[name] = array(path+":"+member.Name, h, b[h.data:])
				continue
			}
		}
		return nil, fmt.Errorf("npy: %s: member %q: %w; save the arrays again", path, member.Name, err)
	}
	return arrays, nil
}

// readMember decompresses a member of at most limit bytes; the archive's own claim of the size is not trusted.
func readMember(member *zip.File, limit int64) ([]byte, error) {
	r, err := member.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	limit = min(limit, math.MaxInt64-1)
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("it brings the archive above the limit of bytes; %d were left", limit)
	}
	return b, nil
}
