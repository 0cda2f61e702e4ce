package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"

	"loupe/internal/arrowio"
)

// output is a file being written; tests put failing ones in its place.
type output interface {
	io.WriteCloser
	Sync() error
}

func createFile(path string) (output, error) { return os.Create(path) }

// outFile writes an Arrow file of the store under a temporary name and hashes it on the way.
type outFile struct {
	dir, path string // the store and the path inside it
	f         output
	h         hash.Hash
	n, rows   int64
	arrow     *arrowio.Writer
}

const tmpSuffix = ".tmp"

func newOutFile(create func(string) (output, error), dir, path string, schema arrowio.Schema) (*outFile, error) {
	full := filepath.Join(dir, filepath.FromSlash(path)) + tmpSuffix
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	f, err := create(full)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	o := &outFile{dir: dir, path: path, f: f, h: sha256.New()}
	if o.arrow, err = arrowio.NewWriter(o, schema); err != nil {
		o.abandon()
		return nil, o.failed(err)
	}
	return o, nil
}

// Write writes p to the file while another goroutine hashes it.
func (o *outFile) Write(p []byte) (int, error) {
	var wg sync.WaitGroup
	if len(p) < 64<<10 {
		o.h.Write(p)
	} else {
		wg.Go(func() { o.h.Write(p) })
	}
	n, err := o.f.Write(p)
	wg.Wait()
	o.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

func (o *outFile) failed(err error) error {
	return fmt.Errorf("store: write %s: %w; make room on the disk (or mend it), then resume: what was finished before is kept", filepath.Join(o.dir, o.path), err)
}

func (o *outFile) write(rows int, columns ...any) error {
	if err := o.arrow.Write(columns...); err != nil {
		return o.failed(err)
	}
	o.rows += int64(rows)
	return nil
}

// finish completes the file and gives it its name, and returns its entry for the manifest.
func (o *outFile) finish() (*File, error) {
	full := filepath.Join(o.dir, filepath.FromSlash(o.path))
	err := o.arrow.Close()
	if err == nil {
		err = o.f.Sync()
	}
	if cerr := o.f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(full+tmpSuffix, full)
	}
	if err == nil {
		err = syncDir(filepath.Dir(full))
	}
	if err != nil {
		os.Remove(full + tmpSuffix)
		return nil, o.failed(err)
	}
	return &File{Path: o.path, Rows: o.rows, Bytes: o.n, SHA256: hex.EncodeToString(o.h.Sum(nil))}, nil
}

func (o *outFile) abandon() {
	o.f.Close()
	os.Remove(filepath.Join(o.dir, filepath.FromSlash(o.path)) + tmpSuffix)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
