package reader

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/safetensors"
	"loupe/vectors"
)

// Limits of a file of matrices, checked before anything is allocated: SD 1.4 has 32 of 768 columns and 20,480 rows in all.
const (
	maxMatrices = 4096
	maxStack    = 1 << 28 // scalars in all
)

// ReadStack reads the matrices of a safetensors file as a Stack: every tensor is one matrix [o, d], floating point, all of the
// encoder's width d, in byte order of their names. d = 0 takes the file's.
func ReadStack(path string, d int, pooling Pooling) (*Stack, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("erase/reader: read matrices: %w", err)
	}
	defer f.Close()
	names := f.Names()
	if len(names) == 0 || len(names) > maxMatrices {
		return nil, fmt.Errorf("erase/reader: %s holds %d tensors: %w; a stack has 1 to %d matrices", path, len(names), vectors.ErrArgument, maxMatrices)
	}
	total := 0
	for _, name := range names {
		info, _ := f.Info(name)
		if len(info.Shape) != 2 || info.Shape[0] < 1 || info.Shape[1] < 1 {
			return nil, fmt.Errorf("erase/reader: %s: tensor %s has shape %v: %w; every tensor of the file must be a matrix [o, d]", path, name, info.Shape, vectors.ErrShape)
		}
		if d == 0 {
			d = info.Shape[1]
		}
		if info.Shape[1] != d {
			return nil, fmt.Errorf("erase/reader: %s: matrix %s has shape %v and reads states of width %d, where the encoder's are %d wide: %w",
				path, name, info.Shape, info.Shape[1], d, vectors.ErrShape)
		}
		if total += info.Len(); total > maxStack {
			return nil, fmt.Errorf("erase/reader: %s holds more than %d numbers: %w; keep the matrices that read the text", path, maxStack, vectors.ErrArgument)
		}
	}
	matrices := make([]*mat.Dense, len(names))
	for i, name := range names {
		info, _ := f.Info(name)
		values, err := f.Float64(name)
		if err != nil {
			return nil, fmt.Errorf("erase/reader: read matrices: %w", err)
		}
		matrices[i] = mat.NewDense(info.Shape[0], d, values)
		if _, _, err := checkMatrix(path+": matrix "+name, matrices[i], d); err != nil {
			return nil, err
		}
	}
	s, err := NewStack(pooling, matrices...)
	if err != nil {
		return nil, err
	}
	s.Names = names
	return s, nil
}
