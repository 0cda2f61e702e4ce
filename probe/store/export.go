package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"loupe/internal/arrowio"
	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
)

// Format is a format that Export writes.
type Format string

// The export formats. Activations are float32 in all of them.
const (
	// Parquet has token/NNNNN.parquet and example/NNNNN.parquet with the store's columns, and docs.parquet.
	Parquet Format = "parquet"
	// Npy has one array for each column over the whole store: token.npy, doc.npy, <site>.npy [rows, d], ...; those of
	// the example table are in example/.
	Npy Format = "npy"
	// Safetensors has token/NNNNN.safetensors and example/NNNNN.safetensors with a tensor for each column.
	Safetensors Format = "safetensors"
)

// Export writes the token and example tables with the named sites (nil means all) to the folder dst, which must not
// exist. Memory stays under a few record batches, and for safetensors under a few shards. dst appears when all of it
// has been written.
func (s *Store) Export(ctx context.Context, dst string, format Format, sites []string) (err error) {
	if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("store: export: %s is already there; give the name of a new folder", dst)
	}
	for _, name := range sites {
		if _, err := s.Site(name); err != nil {
			return err
		}
	}
	tmp := filepath.Clean(dst) + tmpSuffix
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return fmt.Errorf("store: export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	for _, t := range []*tableReader{s.token, s.example} {
		e := exporter{s: s, t: t, dir: tmp}
		for i, site := range t.sites {
			if sites == nil || slices.Contains(sites, site.Name) {
				e.sites = append(e.sites, i)
			}
		}
		if t.rows == 0 {
			continue
		}
		switch format {
		case Parquet:
			err = e.shards(ctx, "parquet", e.parquet)
		case Safetensors:
			err = e.shards(ctx, "safetensors", e.safetensors)
		case Npy:
			err = e.npy(ctx)
		default:
			err = fmt.Errorf("store: export: format %q is none of parquet, npy and safetensors", format)
		}
		if err != nil {
			return err
		}
	}
	if format == Parquet && s.docsMap != nil {
		err := atomicfile.Write(filepath.Join(tmp, "docs.parquet"), func(w io.Writer) error {
			return copyParquet(w, s.docsMap, docsSchema(s.man.Labels))
		})
		if err != nil {
			return fmt.Errorf("store: export docs.parquet: %w", err)
		}
	}
	if err := os.Rename(tmp, dst); err != nil {
		return fmt.Errorf("store: export: %w", err)
	}
	return nil
}

// exporter writes one table.
type exporter struct {
	s     *Store
	t     *tableReader
	dir   string
	sites []int
	buf   [][]float32
}

// schema is the table's, with the chosen sites in float32.
func (e *exporter) schema() arrowio.Schema {
	all := e.t.schema()
	out := arrowio.Schema{Meta: all.Meta, Fields: all.Fields[:e.t.firstSite():e.t.firstSite()]}
	for _, i := range e.sites {
		site := e.t.sites[i]
		site.DType, site.Scale = Float32, 0
		out.Fields = append(out.Fields, site.field())
	}
	return out
}

// columns reads a batch in the order of schema. Float16 sites share memory between batches.
func (e *exporter) columns(v *shardView, batch int) ([]any, error) {
	var out []any
	for c, f := range e.t.schema().Fields[:e.t.firstSite()] {
		var col any
		var err error
		switch f.Kind {
		case arrowio.Int64:
			col, err = arrowio.Values[int64](v.file, batch, c)
		case arrowio.Int32:
			col, err = arrowio.Values[int32](v.file, batch, c)
		default:
			col, err = v.file.Bools(batch, c)
		}
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		out = append(out, col)
	}
	if e.buf == nil {
		e.buf = make([][]float32, len(e.sites))
	}
	for k, i := range e.sites {
		out = append(out, v.values(e.t.sites[i], i, batch, &e.buf[k]))
	}
	return out, nil
}

// shards writes a file for each shard.
func (e *exporter) shards(ctx context.Context, ext string, write func(*shardView, string) error) error {
	sub := filepath.Join(e.dir, string(e.t.per))
	if err := os.Mkdir(sub, 0o755); err != nil {
		return fmt.Errorf("store: export: %w", err)
	}
	for i := range e.t.shards {
		if ctx.Err() != nil {
			return fmt.Errorf("store: %w", context.Cause(ctx))
		}
		path := filepath.Join(sub, fmt.Sprintf("%05d.%s", i, ext))
		if err := write(&e.t.shards[i], path); err != nil {
			return fmt.Errorf("store: export %s: %w", path, err)
		}
	}
	return nil
}

func (e *exporter) parquet(v *shardView, path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		p, err := arrowio.NewParquet(w, e.schema())
		if err != nil {
			return err
		}
		for b := range v.file.Batches() {
			columns, err := e.columns(v, b)
			if err != nil {
				return err
			}
			if err := p.Write(columns...); err != nil {
				return err
			}
		}
		return p.Close()
	})
}

func copyParquet(w io.Writer, f *arrowio.File, schema arrowio.Schema) error {
	p, err := arrowio.NewParquet(w, schema)
	if err != nil {
		return err
	}
	for b := range f.Batches() {
		ids, err := arrowio.Values[int64](f, b, 0)
		if err != nil {
			return err
		}
		columns := []any{ids}
		for c := 1; c < len(schema.Fields); c++ {
			text, err := f.Strings(b, c)
			if err != nil {
				return err
			}
			columns = append(columns, text)
		}
		if err := p.Write(columns...); err != nil {
			return err
		}
	}
	return p.Close()
}

func (e *exporter) safetensors(v *shardView, path string) error {
	fields := e.schema().Fields
	joined := make([]any, len(fields))
	for b := range v.file.Batches() {
		columns, err := e.columns(v, b)
		if err != nil {
			return err
		}
		for i, c := range columns {
			switch c := c.(type) {
			case []int64:
				joined[i] = join(joined[i], c)
			case []int32:
				joined[i] = join(joined[i], c)
			case []float32:
				joined[i] = join(joined[i], c)
			case []bool:
				joined[i] = join(joined[i], asInt32(c))
			}
		}
	}
	var tensors []safetensors.Tensor
	rows := int(v.rows)
	for i, f := range fields {
		switch c := joined[i].(type) {
		case []int64:
			tensors = append(tensors, safetensors.I64(f.Name, []int{rows}, c))
		case []int32:
			tensors = append(tensors, safetensors.I32(f.Name, []int{rows}, c))
		case []float32:
			tensors = append(tensors, safetensors.F32(f.Name, []int{rows, f.Size}, c))
		}
	}
	m := e.s.man
	return safetensors.Write(path, tensors, map[string]string{
		"format": "loupe store shard", "model": m.Model.ID, "model_digest": m.Model.Digest, "tokenizer_digest": m.Tokenizer, "store_digest": m.Digest,
	})
}

func join[T any](have any, more []T) []T {
	old, _ := have.([]T)
	return append(old, more...)
}

func asInt32(v []bool) []int32 {
	out := make([]int32, len(v))
	for i, x := range v {
		if x {
			out[i] = 1
		}
	}
	return out
}
