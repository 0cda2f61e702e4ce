package sae

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// SourceSite is one site of a [Source] and the width of its rows.
type SourceSite struct {
	Name  string
	Width int
}

// Source serves the activations of several sites at the same rows, in a fixed order that can be left and taken up again.
type Source interface {
	// Sites lists what Next fills, in this order.
	Sites() []SourceSite
	// Next copies the next rows into dst, one buffer [rows, width] for each site, and returns how many rows it copied.
	// It returns io.EOF, and no rows, when there are none left.
	Next(dst [][]float32) (n int, err error)
	// State returns where the source stands.
	State() ([]byte, error)
	// Restore puts the source where a State of an equal source stood.
	Restore(state []byte) error
}

// siteIndexes returns the places of the named sites in a source and the sum of their widths.
func siteIndexes(src Source, names []string) (index []int, width int, err error) {
	all := src.Sites()
	for _, name := range names {
		i := slices.IndexFunc(all, func(s SourceSite) bool { return s.Name == name })
		if i < 0 {
			return nil, 0, fmt.Errorf("sae: the source has no site %s; it has %s", name, siteNames(all))
		}
		index, width = append(index, i), width+all[i].Width
	}
	return index, width, nil
}

func siteNames(sites []SourceSite) []string {
	out := make([]string, len(sites))
	for i, s := range sites {
		out[i] = s.Name
	}
	return out
}

// fillSource reads exactly rows rows of all sites, or as many as there are; it returns their number.
func fillSource(src Source, dst [][]float32, rows int) (int, error) {
	sites := src.Sites()
	part := make([][]float32, len(dst))
	n := 0
	for n < rows {
		for i, s := range sites {
			part[i] = dst[i][n*s.Width : rows*s.Width]
		}
		got, err := src.Next(part)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("sae: read rows: %w", err)
		}
		if got < 1 || got > rows-n {
			return n, fmt.Errorf("sae: read rows: the source returned %d rows where 1 to %d fit", got, rows-n)
		}
		n += got
	}
	return n, nil
}

// sourceBuffers returns a buffer of rows rows for each site.
func sourceBuffers(src Source, rows int) [][]float32 {
	var out [][]float32
	for _, s := range src.Sites() {
		out = append(out, make([]float32, rows*s.Width))
	}
	return out
}

// joinRows writes the rows of parts, one after the other, to dst: row r is row r of each part in turn. widths are those
// of the parts.
func joinRows(dst []float32, parts [][]float32, widths []int) {
	total := 0
	for _, w := range widths {
		total += w
	}
	at := 0
	for i, w := range widths {
		for r := range len(dst) / total {
			copy(dst[r*total+at:r*total+at+w], parts[i][r*w:(r+1)*w])
		}
		at += w
	}
}

// Join returns the source's rows as [Rows] whose every row is the named sites' values one after the other, and their
// width. With one site nothing is copied twice.
func Join(src Source, sites ...string) (Rows, int, error) {
	index, width, err := siteIndexes(src, sites)
	if err != nil {
		return nil, 0, err
	}
	if len(index) == 0 {
		return nil, 0, errors.New("sae: no site is named")
	}
	j := &joined{Source: src, index: index, width: width}
	for _, i := range index {
		j.widths = append(j.widths, src.Sites()[i].Width)
	}
	return j, width, nil
}

type joined struct {
	Source
	index, widths []int
	width         int
	buf           [][]float32
}

// Next implements [Rows].
func (j *joined) Next(dst []float32) (int, error) {
	rows := len(dst) / j.width
	sites := j.Sites()
	if j.buf == nil {
		j.buf = make([][]float32, len(sites))
	}
	for i, s := range sites {
		if len(sites) == 1 && len(j.index) == 1 {
			j.buf[i] = dst[:rows*s.Width]
			continue
		}
		j.buf[i] = slices.Grow(j.buf[i][:0], rows*s.Width)[:rows*s.Width]
	}
	n, err := j.Source.Next(j.buf)
	if err != nil || len(sites) == 1 && len(j.index) == 1 {
		return n, err
	}
	parts := make([][]float32, len(j.index))
	for p, i := range j.index {
		parts[p] = j.buf[i]
	}
	joinRows(dst[:n*j.width], parts, j.widths)
	return n, nil
}
