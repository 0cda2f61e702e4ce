package store

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"loupe/internal/arrowio"
)

// Store is an open store. Its methods may be called from many goroutines. Views that it returns are read-only and end
// with Close.
type Store struct {
	dir     string
	man     *Manifest
	token   *tableReader
	example *tableReader
	docs    func() (*Docs, error)
	docsMap *arrowio.File
}

// OpenOptions says what Open accepts.
type OpenOptions struct {
	// ModelDigest, if set, must be the digest of the model that made the store.
	ModelDigest string
	// Partial accepts a store that is not complete: its finished shards can be read.
	Partial bool
}

var (
	// ErrIncomplete says that a store's writer has not finished.
	ErrIncomplete = errors.New("the store is not complete")
	// ErrOtherModel says that a store was made by another model than the caller's.
	ErrOtherModel = errors.New("the store was made by another model")
)

// Open maps a store's shards and checks their structure against the manifest (not their digests: see Verify).
func Open(dir string, opt OpenOptions) (*Store, error) {
	m, err := loadManifest(dir)
	if err != nil {
		return nil, err
	}
	if !m.Complete && !opt.Partial {
		return nil, fmt.Errorf("store: %s: %w: it has %d rows in %d shards; resume its capture, or open it as partial", dir, ErrIncomplete, m.Rows, len(m.Shards))
	}
	if opt.ModelDigest != "" && opt.ModelDigest != m.Model.Digest {
		return nil, fmt.Errorf("store: %s: %w: it holds activations of %s (digest %s) and the model here has digest %s; capture a store with this model, or use that one",
			dir, ErrOtherModel, m.Model.ID, m.Model.Digest, opt.ModelDigest)
	}
	s := &Store{dir: dir, man: m}
	s.docs = sync.OnceValues(s.readDocs)
	if s.token, err = openTable(dir, m, Token); err == nil {
		s.example, err = openTable(dir, m, Example)
	}
	if err == nil && m.Complete {
		s.docsMap, err = openListed(dir, *m.DocsFile)
		if err == nil {
			err = checkDocsSchema(s.docsMap, m.Labels)
		}
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close unmaps the store.
func (s *Store) Close() error {
	var errs []error
	for _, t := range []*tableReader{s.token, s.example} {
		if t != nil {
			errs = append(errs, t.close())
		}
	}
	if s.docsMap != nil {
		errs = append(errs, s.docsMap.Close())
	}
	return errors.Join(errs...)
}

// Dir returns the store's folder.
func (s *Store) Dir() string { return s.dir }

// Manifest returns the store's manifest, which must not be changed.
func (s *Store) Manifest() *Manifest { return s.man }

// Bytes returns the size of all files that the manifest lists.
func (s *Store) Bytes() int64 {
	n := int64(0)
	for _, f := range s.man.files() {
		n += f.Bytes
	}
	return n
}

// Rows returns the number of token rows.
func (s *Store) Rows() int64 { return s.token.rows }

// Examples returns the number of example rows.
func (s *Store) Examples() int64 { return s.example.rows }

// Site returns the site called name, or an error that lists those there are.
func (s *Store) Site(name string) (Site, error) {
	site, ok := s.man.Site(name)
	if !ok {
		var names []string
		for _, x := range s.man.Sites {
			names = append(names, x.Name)
		}
		return Site{}, fmt.Errorf("store: %s has no site %q; it has %v", s.dir, name, names)
	}
	return site, nil
}

// Aligned checks that two stores hold the same tokens in the same rows.
func (s *Store) Aligned(other *Store) error {
	if s.man.RowDigest != other.man.RowDigest {
		return fmt.Errorf("store: %s (%d rows, digest %.12s) and %s (%d rows, digest %.12s) do not hold the same tokens in the same rows; capture both with the same corpus, tokenizer and policy",
			s.dir, s.Rows(), s.man.RowDigest, other.dir, other.Rows(), other.man.RowDigest)
	}
	return nil
}

// tableReader is one of the two tables, all shards.
type tableReader struct {
	*table
	rows   int64
	shards []shardView
	mask   int64 // rows of a batch, less one
	shift  int
}

// shardView is a mapped shard with a view of every site of every batch.
type shardView struct {
	path  string
	file  *arrowio.File
	start int64 // row of the store
	rows  int64
	f32   [][][]float32 // by site and batch; nil for float16 sites
	f16   [][][]uint16
}

func openTable(dir string, m *Manifest, per Per) (*tableReader, error) {
	t := &tableReader{table: newTable(per, m.Sites), mask: int64(m.batchRows(per) - 1)}
	t.shift = bits.TrailingZeros(uint(m.batchRows(per)))
	for _, shard := range m.Shards {
		listed := shard.file(per)
		if listed == nil {
			continue
		}
		f, err := openShard(dir, *listed, t.table, m.batchRows(per))
		if err != nil {
			t.close()
			return nil, err
		}
		v := shardView{path: listed.Path, file: f, start: t.rows, rows: f.Rows(), f32: make([][][]float32, len(t.sites)), f16: make([][][]uint16, len(t.sites))}
		t.shards = append(t.shards, v)
		t.rows += f.Rows()
		if err := v.viewSites(t.table); err != nil {
			t.close()
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	return t, nil
}

func (v shardView) viewSites(t *table) error {
	for i, site := range t.sites {
		for b := range v.file.Batches() {
			if site.DType == Float16 {
				x, err := arrowio.Values[uint16](v.file, b, t.firstSite()+i)
				if err != nil {
					return err
				}
				v.f16[i] = append(v.f16[i], x)
				continue
			}
			x, err := arrowio.Values[float32](v.file, b, t.firstSite()+i)
			if err != nil {
				return err
			}
			v.f32[i] = append(v.f32[i], x)
		}
	}
	return nil
}

func (t *tableReader) close() error {
	var errs []error
	for _, s := range t.shards {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

func (t *tableReader) siteIndex(name string) int {
	for i, s := range t.sites {
		if s.Name == name {
			return i
		}
	}
	return -1
}

// find returns the shard that holds a row. Shards have nearly equal sizes, so the guess is right or almost.
func (t *tableReader) find(row int64) *shardView {
	i := int(float64(row) / float64(t.rows) * float64(len(t.shards)))
	i = min(max(i, 0), len(t.shards)-1)
	for row < t.shards[i].start {
		i--
	}
	for row >= t.shards[i].start+t.shards[i].rows {
		i++
	}
	return &t.shards[i]
}

// table returns the table of a site and the site's index in it.
func (s *Store) table(site string) (*tableReader, int, error) {
	for _, t := range []*tableReader{s.token, s.example} {
		if i := t.siteIndex(site); i >= 0 {
			return t, i, nil
		}
	}
	_, err := s.Site(site)
	return nil, 0, err
}
