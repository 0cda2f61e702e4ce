package safetensors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"loupe/internal/mmap"
)

// File is one open safetensors file.
type File struct {
	path string
	*header
	bytes func() []byte // the whole file; nil after Close
	close func() error
}

var _ Reader = (*File)(nil)

// Open maps and checks the file at path. The caller must Close it.
func Open(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w; give the path of a readable .safetensors file", err)
	}
	f, err := parse(path, m.Bytes)
	if err != nil {
		m.Close()
		return nil, err
	}
	f.close = m.Close
	return f, nil
}

// parse makes a File over the bytes of a file.
func parse(path string, bytes func() []byte) (*File, error) {
	h, err := parseHeader(bytes())
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s is damaged, cut short or of another format: %w; get the file again", path, err)
	}
	return &File{path: path, header: h, bytes: bytes, close: func() error { return nil }}, nil
}

// Path returns the path that the file was opened by.
func (f *File) Path() string { return f.path }

// Names implements Reader.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Info implements Reader.
func (f *File) Info(name string) (Info, bool) {
	info, ok := f.tensors[name]
	info.Shape = slices.Clone(info.Shape)
	return info, ok
}

// Metadata implements Reader.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Bytes implements Reader.
func (f *File) Bytes(name string) ([]byte, error) {
	_, view, err := f.view(name)
	return view, err
}

// Float32 implements Reader.
func (f *File) Float32(name string) ([]float32, error) { return read(f, name, float32s) }

// Float64 implements Reader.
func (f *File) Float64(name string) ([]float64, error) { return read(f, name, float64s) }

// Int64 implements Reader.
func (f *File) Int64(name string) ([]int64, error) { return read(f, name, int64s) }

// Close implements Reader. A second Close does nothing.
func (f *File) Close() error { return f.close() }

// view finds a tensor's bytes.
func (f *File) view(name string) (Info, []byte, error) {
	info, ok := f.tensors[name]
	if !ok {
		return Info{}, nil, fmt.Errorf("safetensors: %s has no tensor %q; it has %s", f.path, name, few(f.names))
	}
	file := f.bytes()
	if file == nil {
		return Info{}, nil, fmt.Errorf("safetensors: tensor %q of %s was asked for after Close; read it before", name, f.path)
	}
	from, to := f.data+info.start, f.data+info.end
	return info, file[from:to:to], nil
}

// read decodes a tensor.
func read[T any](f *File, name string, decode func(dtype string, view []byte) ([]T, error)) ([]T, error) {
	info, view, err := f.view(name)
	if err != nil {
		return nil, err
	}
	values, err := decode(info.DType, view)
	if err != nil {
		return nil, fmt.Errorf("safetensors: tensor %q of %s: %w", name, f.path, err)
	}
	return values, nil
}

// few shows the first names of a list.
func few(names []string) string {
	const most = 8
	if len(names) <= most {
		return fmt.Sprintf("%q", names)
	}
	return fmt.Sprintf("%q and %d more", names[:most], len(names)-most)
}

// Digest returns the SHA-256 of the file at path, in hexadecimal, reading it as a stream.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("safetensors: digest: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", fmt.Errorf("safetensors: digest of %s: %w", path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
