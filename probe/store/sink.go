package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"sync"

	"loupe/internal/arrowio"
)

// sink is the writing half of a Writer: it turns blocks into files and files into shards of the manifest.
type sink struct {
	w       *Writer
	man     *Manifest
	files   [2]*outFile // of the current shard
	rows    *rowHash
	moments *momentSet // nil when switched off
}

func newSink(w *Writer) *sink {
	s := &sink{w: w, man: w.man, rows: newRowHash()}
	if !w.man.Moments.Off {
		s.moments = newMomentSet(&w.man.Spec, w.classes)
	}
	return s
}

// rowHash is the digest over (doc, pos, token) of the rows in order.
type rowHash struct {
	h   hash.Hash
	buf []byte
}

func newRowHash() *rowHash { return &rowHash{h: sha256.New()} }

func (r *rowHash) add(doc []int64, pos, token []int32) {
	r.buf = r.buf[:0]
	for i, d := range doc {
		r.buf = binary.LittleEndian.AppendUint64(r.buf, uint64(d))
		r.buf = binary.LittleEndian.AppendUint32(r.buf, uint32(pos[i]))
		r.buf = binary.LittleEndian.AppendUint32(r.buf, uint32(token[i]))
	}
	r.h.Write(r.buf)
}

func (r *rowHash) sum() string { return hex.EncodeToString(r.h.Sum(nil)) }

func (w *Writer) start(s *sink) {
	go func() {
		defer close(w.done)
		for j := range w.jobs {
			if err := s.do(j); err != nil {
				w.fail(err)
				break
			}
		}
		for _, f := range s.files {
			if f != nil {
				f.abandon()
			}
		}
	}()
}

func (s *sink) do(j job) error {
	switch {
	case s.w.failure() != nil:
		return s.w.failure()
	case j.block != nil:
		return s.block(j.block)
	case j.end != nil:
		return s.endShard(j.end)
	}
	return s.complete()
}

func (s *sink) block(b *block) error {
	i := 0
	if b.table.per == Example {
		i = 1
	}
	if s.files[i] == nil {
		f, err := newOutFile(s.w.create, s.w.dir, b.table.file(len(s.man.Shards)), b.table.schema())
		if err != nil {
			return err
		}
		s.files[i] = f
	}
	if err := b.quantise(b.table.sites); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var wg sync.WaitGroup
	if s.moments != nil {
		wg.Go(func() { s.moments.addBlock(b) })
	}
	if b.table.per == Token {
		s.rows.add(b.i64[0][:b.n], b.i32[0][:b.n], b.i32[3][:b.n])
	}
	err := s.files[i].write(b.n, b.columns()...)
	wg.Wait()
	select {
	case s.w.free[i] <- b:
	default: // one of the first shard's, which were held back
	}
	return err
}

// addBlock adds a record batch of any table to the current shard.
func (m *momentSet) addBlock(b *block) {
	var special []bool
	if b.table.per == Token {
		special = b.bl[0][:b.n]
	}
	groups := m.split(special, b.tuple[:b.n])
	for i, site := range b.table.sites {
		m.add(site, b.x[i][:b.n*site.Dim()], groups)
	}
}

// endShard finishes the files of the shard and lists them.
func (s *sink) endShard(end *shardEnd) error {
	var shard Shard
	n := len(s.man.Shards)
	for i, f := range s.files {
		if f == nil {
			continue
		}
		s.files[i] = nil
		entry, err := f.finish()
		if err != nil {
			return err
		}
		if i == 0 {
			shard.Token = entry
			s.man.Rows += entry.Rows
		} else {
			shard.Example = entry
			s.man.Examples += entry.Rows
		}
	}
	if len(end.docs) > 0 {
		entry, err := s.writeDocs(docsPart(n), func(d *docsWriter) error {
			for _, doc := range end.docs {
				if err := d.add(doc); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		shard.Docs = entry
		s.man.Docs += entry.Rows
	}
	if s.moments != nil {
		s.moments.endShard()
	}
	s.man.Shards = append(s.man.Shards, shard)
	s.man.State = end.state
	s.man.RowDigest = s.rows.sum()
	return s.man.save(s.w.dir)
}

func (s *sink) writeDocs(path string, fill func(*docsWriter) error) (*File, error) {
	f, err := newOutFile(s.w.create, s.w.dir, path, docsSchema(s.man.Labels))
	if err != nil {
		return nil, err
	}
	d := newDocsWriter(f, s.man.Labels)
	err = fill(d)
	if err == nil {
		err = d.flush()
	}
	if err != nil {
		f.abandon()
		return nil, err
	}
	return f.finish()
}

// complete joins the docs, writes the moments and marks the store complete.
func (s *sink) complete() error {
	docs, err := s.writeDocs(docsName, func(d *docsWriter) error {
		for _, shard := range s.man.Shards {
			if shard.Docs == nil {
				continue
			}
			f, err := arrowio.Open(filepath.Join(s.w.dir, filepath.FromSlash(shard.Docs.Path)))
			if err != nil {
				return fmt.Errorf("store: %w", err)
			}
			err = readDocs(f, s.man.Labels, d.add)
			f.Close()
			if err != nil {
				return fmt.Errorf("store: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.moments != nil {
		if s.man.MomentFiles, err = s.moments.write(s.w.create, s.w.dir); err != nil {
			return err
		}
	}
	for i := range s.man.Shards {
		s.man.Shards[i].Docs = nil
	}
	s.man.DocsFile, s.man.State, s.man.Complete = docs, nil, true
	s.man.RowDigest = s.rows.sum()
	if err := s.man.save(s.w.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(s.w.dir, "docs")); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// write writes the moment files in the order of momentPaths.
func (m *momentSet) write(create func(string) (output, error), dir string) ([]File, error) {
	var out []File
	for _, s := range m.spec.Sites {
		rows := m.result(s)
		for _, cross := range []bool{false, true} {
			path, schema := diagPath(s), diagSchema(s)
			if cross {
				if s.Dim() > m.spec.Moments.MaxCross {
					continue
				}
				path, schema = crossPath(s), crossSchema(s)
			}
			f, err := newOutFile(create, dir, path, schema)
			if err != nil {
				return nil, err
			}
			for _, r := range rows {
				if cross && r.Cross == nil {
					continue
				}
				if err := f.write(1, r.columns(cross)...); err != nil {
					f.abandon()
					return nil, err
				}
			}
			entry, err := f.finish()
			if err != nil {
				return nil, err
			}
			out = append(out, *entry)
		}
	}
	return out, nil
}
