package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
)

// Set is the weights of one folder, in one file or in several (shards).
type Set struct {
	files  []*File          // in order of their names
	owner  map[string]*File // by tensor name
	names  []string
	folder string
}

var _ Reader = (*Set)(nil)

// OpenDir opens the weights of a Hugging Face folder: model.safetensors, or else the shards that
// model.safetensors.index.json lists. The index and the shards must name the same tensors. A folder with neither
// file is an error that wraps fs.ErrNotExist. The caller must Close the result.
func OpenDir(dir string) (*Set, error) {
	s, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range s.files {
		for _, name := range f.names {
			s.owner[name] = f
		}
	}
	s.names = slices.Sorted(maps.Keys(s.owner))
	return s, nil
}

func openDir(dir string) (*Set, error) {
	s := &Set{owner: map[string]*File{}, folder: dir}
	single := filepath.Join(dir, singleName)
	if _, err := os.Stat(single); err == nil {
		f, err := Open(single)
		if err != nil {
			return nil, err
		}
		s.files = []*File{f}
		return s, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("safetensors: %w; make the folder readable", err)
	}
	index := filepath.Join(dir, indexName)
	shards, err := readIndex(index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("safetensors: %s holds neither %s nor %s: %w; give a Hugging Face folder with safetensors weights",
			dir, singleName, indexName, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w; get the file again", index, err)
	}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		f, err := Open(filepath.Join(dir, shard))
		if err == nil {
			s.files = append(s.files, f)
			err = agree(f, shards[shard], index)
		}
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func readIndex(path string) (map[string]map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseIndex(io.LimitReader(f, maxHeader))
}

// parseIndex returns, for each shard, the set of tensors that the index places there.
func parseIndex(r io.Reader) (map[string]map[string]bool, error) {
	dec := json.NewDecoder(r)
	shards := map[string]map[string]bool{}
	listed := false
	err := eachMember(dec, func(key string) error {
		if key != "weight_map" { // "metadata" holds total_size, which published files often have wrong
			var ignored json.RawMessage
			return dec.Decode(&ignored)
		}
		listed = true
		return eachMember(dec, func(tensor string) error {
			shard, err := nextString(dec)
			if err != nil {
				return err
			}
			if !filepath.IsLocal(shard) {
				return fmt.Errorf("shard name %q leaves the folder", shard)
			}
			if shards[shard] == nil {
				shards[shard] = map[string]bool{}
			}
			shards[shard][tensor] = true
			return nil
		})
	})
	switch {
	case err != nil:
		return nil, err
	case !listed:
		return nil, errors.New("it has no weight_map")
	}
	return shards, atEnd(dec)
}

// agree demands that a shard holds exactly the tensors that the index places there.
func agree(f *File, listed map[string]bool, index string) error {
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if _, ok := f.tensors[name]; !ok {
			return fmt.Errorf("safetensors: tensor %q is missing from %s, where %s places it; get both files again", name, f.path, index)
		}
	}
	for _, name := range f.names {
		if !listed[name] {
			return fmt.Errorf("safetensors: tensor %q of %s is not placed there by %s; get both files again", name, f.path, index)
		}
	}
	return nil
}

// Files lists the paths of the weight files, in order of their names.
func (s *Set) Files() []string {
	paths := make([]string, len(s.files))
	for i, f := range s.files {
		paths[i] = f.path
	}
	return paths
}

// Names implements Reader.
func (s *Set) Names() []string { return slices.Clone(s.names) }

// Info implements Reader.
func (s *Set) Info(name string) (Info, bool) {
	if f, ok := s.owner[name]; ok {
		return f.Info(name)
	}
	return Info{}, false
}

// Metadata implements Reader. Where shards disagree on a key, the first shard counts.
func (s *Set) Metadata() map[string]string {
	all := map[string]string{}
	for _, f := range slices.Backward(s.files) {
		maps.Copy(all, f.metadata)
	}
	return all
}

// Bytes implements Reader.
func (s *Set) Bytes(name string) ([]byte, error) { return from(s, name, (*File).Bytes) }

// Float32 implements Reader.
func (s *Set) Float32(name string) ([]float32, error) { return from(s, name, (*File).Float32) }

// Float64 implements Reader.
func (s *Set) Float64(name string) ([]float64, error) { return from(s, name, (*File).Float64) }

// Int64 implements Reader.
func (s *Set) Int64(name string) ([]int64, error) { return from(s, name, (*File).Int64) }

// Close implements Reader: it closes every file.
func (s *Set) Close() error {
	var err error
	for _, f := range s.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// from asks the file that owns a tensor.
func from[T any](s *Set, name string, get func(*File, string) ([]T, error)) ([]T, error) {
	f, ok := s.owner[name]
	if !ok {
		return nil, fmt.Errorf("safetensors: the weights in %s have no tensor %q; they have %s", s.folder, name, few(s.names))
	}
	return get(f, name)
}
