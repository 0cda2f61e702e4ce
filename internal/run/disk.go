package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// tmpPrefix begins the names of files that are not yet complete.
const tmpPrefix = ".tmp-"

// file is what the package needs of an open file.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// disk opens files for writing; tests give one that fills up.
type disk interface {
	create(path string) (file, error)   // a new file
	appendTo(path string) (file, error) // an old or new file, at its end
}

type osDisk struct{}

func (osDisk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
}

func (osDisk) appendTo(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

// writeFile is atomicfile.Write on a disk that tests can make full: temporary file in the same folder, sync, rename, sync of
// the folder.
func writeFile(d disk, path string, write func(io.Writer) error) (err error) {
	tmp := filepath.Join(filepath.Dir(path), tmpPrefix+filepath.Base(path))
	f, err := d.create(tmp)
	if err != nil {
		return fmt.Errorf("run: write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("run: write %s: %w", path, err), ignoreAbsent(os.Remove(tmp)))
		}
	}()
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func ignoreAbsent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncTree makes every file below path durable.
func syncTree(path string) error {
	return filepath.WalkDir(path, func(p string, e os.DirEntry, err error) error {
		if err != nil || !(e.IsDir() || e.Type().IsRegular()) {
			return err
		}
		return syncDir(p)
	})
}

// overwrite replaces the content of a small existing file without asking the disk for a new block, for the moment
// when there is none.
func overwrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Truncate(int64(len(text))), f.Sync(), f.Close())
}
