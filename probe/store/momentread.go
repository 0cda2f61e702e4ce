package store

import (
	"errors"
	"fmt"
	"slices"

	"loupe/internal/arrowio"
)

// ErrNoMoments says that a store keeps no moments of what was asked for.
var ErrNoMoments = errors.New("the store has no such moments")

// Moments returns a site's moments over all classes.
func (s *Store) Moments(site string, filter Filter) (*Moments, error) {
	all, err := s.allMoments(site)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.Filter == filter && m.Label == "" {
			return m, nil
		}
	}
	return nil, fmt.Errorf("store: %s: site %s, filter %q: %w", s.dir, site, filter, ErrNoMoments)
}

// ClassMoments returns a site's moments for each class of a label that has rows, sorted by class.
func (s *Store) ClassMoments(site, label string, filter Filter) ([]*Moments, error) {
	if !slices.Contains(s.man.Labels, label) || label == "" {
		return nil, fmt.Errorf("store: %s has no label %q; it has %v", s.dir, label, s.man.Labels)
	}
	all, err := s.allMoments(site)
	if err != nil {
		return nil, err
	}
	var out []*Moments
	for _, m := range all {
		if m.Filter == filter && m.Label == label && m.Count > 0 {
			out = append(out, m)
		}
	}
	return out, nil
}

func (s *Store) allMoments(name string) ([]*Moments, error) {
	site, err := s.Site(name)
	if err != nil {
		return nil, err
	}
	if len(s.man.MomentFiles) == 0 {
		return nil, fmt.Errorf("store: %s: %w: they were switched off, or the store is not complete; scan the rows, or capture again with moments", s.dir, ErrNoMoments)
	}
	out, err := s.readMoments(site, diagPath(site), diagSchema(site))
	if err != nil {
		return nil, err
	}
	if site.Dim() > s.man.Moments.MaxCross {
		return out, nil
	}
	cross, err := s.readMoments(site, crossPath(site), crossSchema(site))
	if err != nil {
		return nil, err
	}
	for _, m := range out {
		for _, c := range cross {
			if c.Filter == m.Filter && c.Label == m.Label && c.Class == m.Class {
				m.Cross = c.Cross
			}
		}
	}
	return out, nil
}

// readMoments reads a diagonal or cross file into new memory.
func (s *Store) readMoments(site Site, path string, schema arrowio.Schema) ([]*Moments, error) {
	i := slices.IndexFunc(s.man.MomentFiles, func(f File) bool { return f.Path == path })
	if i < 0 {
		return nil, fmt.Errorf("store: %s: %w: %s is not listed", s.dir, ErrNoMoments, path)
	}
	f, err := openListed(s.dir, s.man.MomentFiles[i])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	same := slices.EqualFunc(f.Schema().Fields, schema.Fields, func(a, b arrowio.Field) bool {
		return a.Name == b.Name && a.Kind == b.Kind && a.Size == b.Size && !a.Nested
	})
	if !same {
		return nil, fmt.Errorf("store: %s: its columns are %s and the manifest says %s", path, fieldNames(f.Schema().Fields), fieldNames(schema.Fields))
	}
	var out []*Moments
	for b := range f.Batches() {
		batch, err := momentBatch(f, b, site)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		out = append(out, batch...)
	}
	return out, nil
}

func momentBatch(f *arrowio.File, b int, site Site) ([]*Moments, error) {
	var text [3][]string
	for i := range text {
		var err error
		if text[i], err = f.Strings(b, i); err != nil {
			return nil, err
		}
	}
	count, err := arrowio.Values[int64](f, b, 3)
	if err != nil {
		return nil, err
	}
	out := make([]*Moments, len(count))
	for r, n := range count {
		out[r] = &Moments{Site: site.Name, Filter: Filter(text[0][r]), Label: text[1][r], Class: text[2][r], Count: n}
	}
	for col, field := range f.Schema().Fields {
		if col < 4 {
			continue
		}
		v, err := arrowio.Values[float64](f, b, col)
		if err != nil {
			return nil, err
		}
		for r, m := range out {
			row := slices.Clone(v[r*field.Size : (r+1)*field.Size])
			switch field.Name {
			case "mean":
				m.Mean = row
			case "m2":
				m.M2 = row
			case "cross":
				m.Cross = row
			}
		}
	}
	return out, nil
}
