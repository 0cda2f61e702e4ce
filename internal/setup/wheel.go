package setup

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxEntries bounds the files of one wheel.
const maxEntries = 20000

// ErrUnsafe says that an archive wants to write outside its folder, or more than it may.
var ErrUnsafe = errors.New("unsafe archive")

// unpack writes the file or folder (final slash) called from of the zip r into the folder dest and returns what it wrote:
// slash-separated paths relative to dest, with size and SHA-256. A single file lands under its base name.
//
// Every entry of the zip is checked before the first byte is written: a name that is absolute, holds "..", a backslash, a colon or
// a NUL, an entry that is neither a file nor a folder, or more than limit bytes in all is ErrUnsafe.
func unpack(ctx context.Context, r io.ReaderAt, size int64, from, dest string, limit int64) (map[string]File, error) {
	zr, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("not a whole zip: %w", err)
	}
	entries, err := choose(zr.File, from, limit)
	if err != nil {
		return nil, err
	}
	written := make(map[string]File, len(entries))
	for _, e := range entries {
		target := filepath.Join(dest, filepath.FromSlash(e.name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return nil, err
		}
		f, err := writeEntry(ctx, e.File, target)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
		written[e.name] = f
	}
	return written, nil
}

// entry is a file of a zip and the checked name under which it is written.
type entry struct {
	*zip.File
	name string
}

// choose checks all entries and returns those below from.
func choose(files []*zip.File, from string, limit int64) ([]entry, error) {
	if len(files) > maxEntries {
		return nil, fmt.Errorf("%w: %d entries, at most %d are allowed", ErrUnsafe, len(files), maxEntries)
	}
	var chosen []entry
	left := uint64(max(limit, 0))
	for _, f := range files {
		if err := checkName(f.Name); err != nil {
			return nil, err
		}
		mode := f.Mode()
		if mode.IsDir() {
			continue
		}
		if !mode.IsRegular() {
			return nil, fmt.Errorf("%w: entry %q is a %s, not a file", ErrUnsafe, f.Name, mode.Type())
		}
		name, ok := inside(f.Name, from)
		if !ok {
			continue
		}
		if f.UncompressedSize64 > left {
			return nil, fmt.Errorf("%w: it unpacks to more than %d bytes", ErrUnsafe, limit)
		}
		left -= f.UncompressedSize64
		chosen = append(chosen, entry{f, name})
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no %q inside", from)
	}
	return chosen, nil
}

// inside returns name relative to from, or name's base when from is that very file.
func inside(name, from string) (string, bool) {
	if strings.HasSuffix(from, "/") {
		rest, ok := strings.CutPrefix(name, from)
		return rest, ok && rest != ""
	}
	return path.Base(name), name == from
}

func checkName(name string) error {
	trimmed := strings.TrimSuffix(name, "/")
	if trimmed == "" || strings.ContainsAny(name, "\\:\x00") || path.Clean(trimmed) != trimmed || !filepath.IsLocal(filepath.FromSlash(trimmed)) {
		return fmt.Errorf("%w: entry name %q leaves the folder or is not plain", ErrUnsafe, name)
	}
	return nil
}

// writeEntry unpacks one file, which must not exist yet, and syncs it to disk.
func writeEntry(ctx context.Context, zf *zip.File, target string) (File, error) {
	in, err := zf.Open()
	if err != nil {
		return File{}, err
	}
	defer in.Close()
	perm := fs.FileMode(0o644)
	if zf.Mode().Perm()&0o111 != 0 {
		perm = 0o755
	}
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return File{}, err
	}
	f, err := copyDigest(ctx, out, in, int64(zf.UncompressedSize64))
	if err == nil {
		err = out.Sync()
	}
	return f, errors.Join(err, out.Close())
}

// copyDigest copies exactly size bytes and returns their digest.
func copyDigest(ctx context.Context, out io.Writer, in io.Reader, size int64) (File, error) {
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, hash), &contextReader{ctx, io.LimitReader(in, size+1)})
	if err == nil && n != size {
		err = fmt.Errorf("%w: it unpacks to more or less than the %d bytes that it declares", ErrUnsafe, size)
	}
	return File{Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, err
}

// contextReader stops a long copy when ctx ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// digest returns size and SHA-256 of a file.
func digest(ctx context.Context, name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, &contextReader{ctx, f})
	return File{Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, err
}
