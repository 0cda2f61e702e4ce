package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"loupe/internal/arrowio"
)

// A folder of cached activations of SAELens (CacheActivationsRunner) is a Hugging Face data set: state.json lists
// Arrow streams; a column named like the hook holds a matrix [context, d] a row, and token_ids the context's tokens.

const tokenIDs = "token_ids"

func openSAELens(dir string) (*importSource, error) {
	names, err := saeLensFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("store: import %s: %w", dir, err)
	}
	src := &importSource{id: filepath.Base(filepath.Clean(dir))}
	var files []*arrowio.File
	src.close = func() error {
		var errs []error
		for _, f := range files {
			errs = append(errs, f.Close())
		}
		return errors.Join(errs...)
	}
	for _, name := range names {
		f, err := arrowio.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("store: import: %w", err), src.close())
		}
		files = append(files, f)
		if err := src.checkSAELens(f, name); err != nil {
			return nil, errors.Join(fmt.Errorf("store: import %s: %w", dir, err), src.close())
		}
	}
	if src.d == 0 {
		return nil, errors.Join(fmt.Errorf("store: import %s: it has no rows", dir), src.close())
	}
	src.yield = func(yield func(contexts) error) error {
		for _, f := range files {
			for b := range f.Batches() {
				c, err := src.saeLensBatch(f, b)
				if err != nil {
					return fmt.Errorf("store: import: %w", err)
				}
				if err := yield(c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return src, nil
}

// saeLensFiles reads the list of data files from state.json.
func saeLensFiles(dir string) ([]string, error) {
	const limit = 16 << 20
	path := filepath.Join(dir, "state.json")
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w; a folder of cached activations has a state.json", err)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("state.json has %d bytes, more than %d", info.Size(), limit)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var state struct {
		Files []struct {
			Name string `json:"filename"`
		} `json:"_data_files"`
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return nil, fmt.Errorf("state.json: %w", err)
	}
	var names []string
	for _, f := range state.Files {
		if f.Name != filepath.Base(f.Name) || !filepath.IsLocal(f.Name) {
			return nil, fmt.Errorf("state.json: file name %q leaves the folder", f.Name)
		}
		names = append(names, f.Name)
	}
	return names, nil
}

// checkSAELens finds the hook's column and its sizes, which all files must share.
func (s *importSource) checkSAELens(f *arrowio.File, name string) error {
	var hooks []string
	for _, field := range f.Schema().Fields {
		if field.Name != tokenIDs {
			hooks = append(hooks, field.Name)
		}
	}
	if len(hooks) != 1 || !slices.ContainsFunc(f.Schema().Fields, func(x arrowio.Field) bool { return x.Name == tokenIDs }) {
		return fmt.Errorf("%s: its columns besides %s are %q; a cache has one hook, and token ids (SAELens 6 writes them)", name, tokenIDs, hooks)
	}
	for b := range f.Batches() {
		if f.BatchRows(b) == 0 {
			continue
		}
		_, shape, err := saeLensActs(f, b, f.Schema().Index(hooks[0]))
		if err != nil {
			return err
		}
		if len(shape) != 2 || shape[0] < 1 || shape[1] < 1 {
			return fmt.Errorf("%s: a row of %s has shape %v, not [context, d]", name, hooks[0], shape)
		}
		if s.d == 0 {
			s.site, s.width, s.d = hooks[0], shape[0], shape[1]
		}
		if s.site != hooks[0] || s.width != shape[0] || s.d != shape[1] {
			return fmt.Errorf("%s: %s %v differs from %s [%d %d] in the files before", name, hooks[0], shape, s.site, s.width, s.d)
		}
	}
	return nil
}

func (s *importSource) saeLensBatch(f *arrowio.File, b int) (contexts, error) {
	c := contexts{docs: f.BatchRows(b), width: s.width, d: s.d}
	var err error
	if c.docs == 0 {
		return c, nil
	}
	if c.acts, _, err = saeLensActs(f, b, f.Schema().Index(s.site)); err != nil {
		return c, err
	}
	var shape []int
	if c.tokens, shape, err = arrowio.Lists[int32](f, b, f.Schema().Index(tokenIDs)); err != nil {
		return c, err
	}
	if len(shape) != 1 || shape[0] != s.width || len(c.tokens) != c.docs*s.width || len(c.acts) != c.docs*s.width*s.d {
		return c, fmt.Errorf("batch %d: %d contexts of %d tokens have %d values and token ids of shape %v", b, c.docs, s.width, len(c.acts), shape)
	}
	return c, nil
}

// saeLensActs reads the matrices as float32 from float32, float16 or float64.
func saeLensActs(f *arrowio.File, b, col int) ([]float32, []int, error) {
	switch f.Schema().Fields[col].Kind {
	case arrowio.Float16:
		half, shape, err := arrowio.Lists[uint16](f, b, col)
		out := make([]float32, len(half))
		if err == nil && !halfFinite(half) {
			err = fmt.Errorf("batch %d: an activation is not finite", b)
		}
		fromHalf(out, half, 1)
		return out, shape, err
	case arrowio.Float64:
		wide, shape, err := arrowio.Lists[float64](f, b, col)
		out := make([]float32, len(wide))
		for i, v := range wide {
			out[i] = float32(v)
		}
		return out, shape, err
	}
	return arrowio.Lists[float32](f, b, col)
}
