package run

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// digestTree lists the regular files below dir, in order of their paths, with size and SHA-256; skip leaves some out.
func digestTree(dir string, skip func(rel string) bool) ([]Output, error) {
	out := []Output{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if rel = filepath.ToSlash(rel); skip != nil && skip(rel) {
			return nil
		}
		o, err := digest(path)
		o.Path = rel
		out = append(out, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("run: digest of %s: %w", dir, err)
	}
	return out, nil
}

func digest(path string) (Output, error) {
	f, err := os.Open(path)
	if err != nil {
		return Output{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return Output{Bytes: n, Digest: hex.EncodeToString(h.Sum(nil))}, err
}
