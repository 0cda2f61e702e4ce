package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"loupe/internal/arrowio"
)

// Resume goes on with an unfinished store. It removes what no finished shard lists, checks that spec is the one the
// store was begun with, and returns the writer and the State of the last batch that is safe (nil when there is none):
// the caller must append exactly what followed that batch. A store that is complete gives ErrComplete.
func Resume(dir string, spec Spec) (*Writer, json.RawMessage, error) {
	m, err := loadManifest(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := spec.setDefaults(); err != nil {
		return nil, nil, fmt.Errorf("store: %w", err)
	}
	if err := sameSpec(m.Spec, spec); err != nil {
		return nil, nil, fmt.Errorf("store: resume %s: %w; use the configuration that began it, or another folder", dir, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, nil, err
	}
	w, err := resume(dir, lock, m)
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	return w, m.State, nil
}

func resume(dir string, lock *os.File, m *Manifest) (*Writer, error) {
	if m.Complete {
		if err := os.RemoveAll(filepath.Join(dir, "docs")); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		return nil, fmt.Errorf("store: %s: %w", dir, ErrComplete)
	}
	if err := removeUnlisted(dir, m); err != nil {
		return nil, fmt.Errorf("store: resume %s: %w", dir, err)
	}
	w := newWriter(dir, lock, m)
	s := newSink(w)
	for i, shard := range m.Shards {
		if err := s.replay(i, shard); err != nil {
			return nil, err
		}
	}
	w.state = m.State
	w.start(s)
	return w, nil
}

// sameSpec compares what a store was begun with to what is asked for now, and names the first difference.
func sameSpec(had, asked Spec) error {
	for i := range asked.Sites {
		// a scale that the first shard chose is not a difference
		if i < len(had.Sites) && asked.Sites[i].Scale == 0 && asked.Sites[i].DType == Float16 {
			asked.Sites = slices.Clone(asked.Sites)
			asked.Sites[i].Scale = had.Sites[i].Scale
		}
	}
	a, b := reflect.ValueOf(had), reflect.ValueOf(asked)
	for i := range a.NumField() {
		x, err := json.Marshal(a.Field(i).Interface())
		if err != nil {
			return err
		}
		y, err := json.Marshal(b.Field(i).Interface())
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if err := sameJSON(name, x, y, asked.Defaults); err != nil {
			if name == "config" {
				return err
			}
			return fmt.Errorf("%s was %s and is %s now", name, x, y)
		}
	}
	return nil
}

// sameJSON compares two JSON texts by what they say, whatever the order of their keys, and names the first key that differs. A key
// that the first one lacks and that has its default in the second is no difference; without defaults there are none.
func sameJSON(name string, had, asked, defaults []byte) error {
	var x, y, z any
	for _, part := range []struct {
		raw []byte
		to  *any
	}{{had, &x}, {asked, &y}, {defaults, &z}} {
		if len(part.raw) == 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(part.raw))
		dec.UseNumber()
		if err := dec.Decode(part.to); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return sameValue(name, x, y, z)
}

func sameValue(name string, had, asked, defaults any) error {
	x, isMap := had.(map[string]any)
	y, areMaps := asked.(map[string]any)
	if !isMap || !areMaps {
		if !reflect.DeepEqual(had, asked) {
			return fmt.Errorf("%s was %s and is %s now", name, shortJSON(had), shortJSON(asked))
		}
		return nil
	}
	z, _ := defaults.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(x)) {
		v, has := y[key]
		if !has {
			return fmt.Errorf("%s.%s was %s and is absent now", name, key, shortJSON(x[key]))
		}
		if err := sameValue(name+"."+key, x[key], v, z[key]); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(y)) {
		if _, had := x[key]; had {
			continue
		}
		if normal, known := z[key]; !known || !reflect.DeepEqual(y[key], normal) {
			return fmt.Errorf("%s.%s was absent and is %s now", name, key, shortJSON(y[key]))
		}
	}
	return nil
}

func shortJSON(v any) string {
	const most = 200
	b, err := json.Marshal(v)
	if err != nil || len(b) > most {
		return fmt.Sprintf("%.*s...", most, b)
	}
	return string(b)
}

// removeUnlisted removes the files of shards that were not finished.
func removeUnlisted(dir string, m *Manifest) error {
	keep := map[string]bool{}
	for _, s := range m.Shards {
		for _, f := range []*File{s.Token, s.Example, s.Docs} {
			if f != nil {
				keep[f.Path] = true
			}
		}
	}
	for _, sub := range []string{string(Token), string(Example), "docs", "moments"} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(dir, path)
			if err != nil || keep[filepath.ToSlash(rel)] {
				return err
			}
			return os.Remove(path)
		})
		if err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "moments")); err != nil {
		return err
	}
	tmp, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*"+tmpSuffix+"*"))
	if err != nil {
		return err
	}
	hidden, err := filepath.Glob(filepath.Join(escapeGlob(dir), "."+manifestName+tmpSuffix+"*"))
	if err != nil {
		return err
	}
	for _, path := range append(append(tmp, hidden...), filepath.Join(dir, docsName)) {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// replay takes a finished shard's documents, row digest and moments into the sink, as if it had just been written.
func (s *sink) replay(i int, shard Shard) error {
	if shard.Docs != nil {
		f, err := openListed(s.w.dir, *shard.Docs)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := checkDocsSchema(f, s.man.Labels); err != nil {
			return fmt.Errorf("store: %s: %w", shard.Docs.Path, err)
		}
		if err := readDocs(f, s.man.Labels, s.w.classes.add); err != nil {
			return fmt.Errorf("store: %s: %w", shard.Docs.Path, err)
		}
	}
	for _, t := range s.w.tables {
		listed := shard.file(t.per)
		if listed == nil {
			continue
		}
		f, err := openShard(s.w.dir, *listed, t, s.man.batchRows(t.per))
		if err != nil {
			return err
		}
		for b := range f.Batches() {
			blk, err := readBlock(f, b, t, s.w.classes)
			if err != nil {
				f.Close()
				return fmt.Errorf("store: shard %d: %w", i, err)
			}
			if t.per == Token {
				s.rows.add(blk.i64[0], blk.i32[0], blk.i32[3])
			}
			if s.moments != nil {
				s.moments.addBlock(blk)
			}
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if s.moments != nil {
		s.moments.endShard()
	}
	return nil
}

// openListed opens a file of the manifest and checks its size and rows.
func openListed(dir string, listed File) (*arrowio.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(listed.Path)) // refuses links that leave the folder
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w; restore it from a copy, or capture the store again", listed.Path, err)
	}
	if info.Size() != listed.Bytes {
		return nil, fmt.Errorf("store: %s has %d bytes and the manifest says %d; restore it from a copy, or capture the store again", listed.Path, info.Size(), listed.Bytes)
	}
	f, err := arrowio.Open(filepath.Join(dir, filepath.FromSlash(listed.Path)))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if f.Rows() != listed.Rows {
		f.Close()
		return nil, fmt.Errorf("store: %s has %d rows and the manifest says %d; restore it from a copy, or capture the store again", listed.Path, f.Rows(), listed.Rows)
	}
	return f, nil
}

// openShard is openListed for a table's shard: it checks schema and batches too.
func openShard(dir string, listed File, t *table, batchRows int) (*arrowio.File, error) {
	f, err := openListed(dir, listed)
	if err != nil {
		return nil, err
	}
	err = t.matches(f.Schema())
	for b := range f.Batches() {
		if n := f.BatchRows(b); err == nil && (n > batchRows || n < batchRows && b < f.Batches()-1 || n == 0) {
			err = fmt.Errorf("batch %d has %d rows and the manifest says %d", b, n, batchRows)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("store: %s: %w; restore it from a copy, or capture the store again", listed.Path, err)
	}
	return f, nil
}
