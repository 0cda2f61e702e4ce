package model

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// checkpoint is a model's files, opened and held against each other but not read.
type checkpoint struct {
	spec   *Spec
	read   func(Param) (matrix, error) // one parameter, float32
	stored []storedTensor
	files  []string // the weight files
	digest func() (string, error)
	close  func() error
}

// storedTensor is a tensor of a weight file.
type storedTensor struct {
	dtype    string
	elements int
}

// open opens a Hugging Face folder or a .gguf file.
func open(path string, opt Options) (*checkpoint, error) {
	if strings.HasSuffix(strings.ToLower(path), ".gguf") {
		return openGGUF(path, opt)
	}
	return openFolder(path, opt)
}

// closing closes what an error leaves open.
func closing(err error, closer func() error) error { return errors.Join(err, closer()) }

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Info describes a model without reading its weights.
type Info struct {
	Spec    *Spec
	Digest  string         // SHA-256 over the weight files
	Bytes   int64          // of the weight files
	Tensors int            // in the files
	Stored  map[string]int // scalars in the files by storage type
}

// Inspect checks a model's files against its configuration as Load does, and describes them.
func Inspect(path string, opt Options) (*Info, error) {
	file, err := open(path, opt)
	if err != nil {
		return nil, err
	}
	defer file.close()
	info := &Info{Spec: file.spec, Tensors: len(file.stored), Stored: map[string]int{}}
	for _, t := range file.stored {
		info.Stored[t.dtype] += t.elements
	}
	for _, name := range file.files {
		stat, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
		info.Bytes += stat.Size()
	}
	info.Digest, err = file.digest()
	return info, err
}
