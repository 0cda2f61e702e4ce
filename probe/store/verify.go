package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// Verify reads a whole store and checks it against its manifest: every file's size and SHA-256, schemas, row counts,
// the row digest, documents of all rows, finite values and moments. It returns one joined error that names every file
// with a problem, or nil. A store that is not complete gives an error that wraps ErrIncomplete, besides what it finds.
func Verify(ctx context.Context, dir string) error {
	m, err := loadManifest(dir)
	if err != nil {
		return err
	}
	var errs []error
	if !m.Complete {
		errs = append(errs, fmt.Errorf("store: %s: %w; resume its capture", dir, ErrIncomplete))
	}
	errs = append(errs, canonical(dir, m))
	for _, f := range m.files() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("store: %w", context.Cause(ctx))
		}
		if err := checkDigest(ctx, dir, f); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil && !errors.Is(err, ErrIncomplete) {
		return err // contents of damaged files would only repeat it
	}
	return errors.Join(append(errs, checkContents(ctx, dir, m))...)
}

// files lists all files of the manifest.
func (m *Manifest) files() []File {
	var out []File
	for _, s := range m.Shards {
		for _, f := range []*File{s.Token, s.Example, s.Docs} {
			if f != nil {
				out = append(out, *f)
			}
		}
	}
	if m.DocsFile != nil {
		out = append(out, *m.DocsFile)
	}
	return append(out, m.MomentFiles...)
}

// canonical finds changes of manifest.json that its digest does not cover: those of its layout.
func canonical(dir string, m *Manifest) error {
	got, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	want, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if !bytes.Equal(got, append(want, '\n')) {
		return fmt.Errorf("store: %s: %s is not byte for byte what loupe writes; its contents are whole", dir, manifestName)
	}
	return nil
}

func checkDigest(ctx context.Context, dir string, listed File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer root.Close()
	const cure = "restore it from a copy, or capture the store again"
	f, err := root.Open(filepath.FromSlash(listed.Path))
	if err != nil {
		return fmt.Errorf("store: %s: %w; %s", listed.Path, err, cure)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, &contextReader{ctx, f})
	if err != nil {
		return fmt.Errorf("store: %s: %w", listed.Path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); n != listed.Bytes || got != listed.SHA256 {
		return fmt.Errorf("store: %s is damaged: it has %d bytes with SHA-256 %.12s and the manifest says %d with %.12s; %s",
			listed.Path, n, got, listed.Bytes, listed.SHA256, cure)
	}
	return nil
}

// contextReader ends a long read when its context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// checkContents reads every row as Resume does, and compares what follows from the rows with what the manifest says.
func checkContents(ctx context.Context, dir string, m *Manifest) error {
	v := &verifier{dir: dir, m: m, classes: newClassIndex(m.Labels, false), rows: newRowHash()}
	if err := v.readDocs(); err != nil {
		return err
	}
	if len(m.MomentFiles) > 0 {
		v.moments = newMomentSet(&m.Spec, v.classes)
	}
	for i, shard := range m.Shards {
		for _, p := range []Per{Token, Example} {
			if shard.file(p) == nil {
				continue
			}
			if err := v.shard(ctx, i, newTable(p, m.Sites), *shard.file(p)); err != nil {
				return err
			}
		}
		if v.moments != nil {
			v.moments.endShard()
		}
	}
	if got := v.rows.sum(); got != m.RowDigest && (m.RowDigest != "" || len(m.Shards) > 0) {
		return fmt.Errorf("store: %s: the rows have digest %.12s and the manifest says %.12s", dir, got, m.RowDigest)
	}
	return v.checkMoments()
}

type verifier struct {
	dir     string
	m       *Manifest
	classes *classIndex
	rows    *rowHash
	moments *momentSet
}

func (v *verifier) readDocs() error {
	parts := []File{}
	for _, s := range v.m.Shards {
		if s.Docs != nil {
			parts = append(parts, *s.Docs)
		}
	}
	if v.m.DocsFile != nil {
		parts = append(parts, *v.m.DocsFile)
	}
	for _, p := range parts {
		f, err := openListed(v.dir, p)
		if err != nil {
			return err
		}
		err = checkDocsSchema(f, v.m.Labels)
		if err == nil {
			err = readDocs(f, v.m.Labels, func(d Doc) error {
				if v.m.KeepText && textDigest(d.Text) != d.Digest {
					return fmt.Errorf("document %d: its text does not have its digest", d.ID)
				}
				return v.classes.add(d)
			})
		}
		f.Close()
		if err != nil {
			return fmt.Errorf("store: %s: %w", p.Path, err)
		}
	}
	return nil
}

func (v *verifier) shard(ctx context.Context, i int, t *table, listed File) error {
	f, err := openShard(v.dir, listed, t, v.m.batchRows(t.per))
	if err != nil {
		return err
	}
	defer f.Close()
	for b := range f.Batches() {
		if ctx.Err() != nil {
			return fmt.Errorf("store: %w", context.Cause(ctx))
		}
		blk, err := readBlock(f, b, t, v.classes)
		if err != nil {
			return fmt.Errorf("store: %s: %w", listed.Path, err)
		}
		for k, site := range t.sites {
			if site.DType == Float16 && !halfFinite(blk.half[k]) || !finite(blk.x[k]) {
				return fmt.Errorf("store: %s: batch %d: site %s has a value that is not finite", listed.Path, b, site.Name)
			}
		}
		if t.per == Token {
			v.rows.add(blk.i64[0], blk.i32[0], blk.i32[3])
		}
		if v.moments != nil {
			v.moments.addBlock(blk)
		}
	}
	return nil
}

// checkMoments compares the moments on disk with those of the rows. They agree bit for bit where they were computed on
// a machine with fused multiply-add; the tolerance is for others.
func (v *verifier) checkMoments() error {
	if v.moments == nil {
		return nil
	}
	s := &Store{dir: v.dir, man: v.m}
	for _, site := range v.m.Sites {
		got, err := s.allMoments(site.Name)
		if err != nil {
			return err
		}
		want := v.moments.result(site)
		if len(got) != len(want) {
			return fmt.Errorf("store: moments of %s: %d sets of rows are stored and the rows have %d", site.Name, len(got), len(want))
		}
		for i, w := range want {
			g := got[i]
			if g.Filter != w.Filter || g.Label != w.Label || g.Class != w.Class || g.Count != w.Count ||
				!near(g.Mean, w.Mean) || !near(g.M2, w.M2) || !near(g.Cross, w.Cross) {
				return fmt.Errorf("store: moments of %s (filter %s, label %q, class %q) do not follow from the rows; capture the store again", site.Name, w.Filter, w.Label, w.Class)
			}
		}
	}
	return nil
}

func near(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	top := 0.0
	for _, v := range b {
		top = max(top, math.Abs(v))
	}
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= 1e-9*top) && a[i] != b[i] {
			return false
		}
	}
	return true
}
