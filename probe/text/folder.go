package text

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// openFolder lists the files below a folder whose names end in one of the extensions, in the order of their paths.
// The ending decides how a file is read (.jsonl and .ndjson, .csv and .tsv, .parquet, else plain text). Links to
// folders are not followed; a link to a file outside the folder is an error.
func openFolder(cfg CorpusConfig) (source, error) {
	root, err := os.OpenRoot(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("text: open folder corpus: %w; check the path", err)
	}
	out := &files{title: KindFolder + ":" + filepath.Base(cfg.Path)}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !slices.ContainsFunc(cfg.Extensions, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return nil
		}
		info, err := root.Stat(name)
		if err != nil {
			if entry.Type()&fs.ModeSymlink != 0 {
				return fmt.Errorf("the link %s leads nowhere or out of the folder: %w; copy the file into the folder or remove the link", name, err)
			}
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		out.list = append(out.list, file{
			name: name,
			open: func() (*os.File, error) { return openIn(cfg.Path, name) },
			read: cfg.byExtension(name),
		})
		return nil
	})
	if err = errors.Join(err, root.Close()); err != nil {
		return nil, fmt.Errorf("text: list folder %s: %w", cfg.Path, err)
	}
	if len(out.list) == 0 {
		return nil, fmt.Errorf("text: folder %s: %w: no file ends in %s; set extensions", cfg.Path, ErrEmpty, strings.Join(cfg.Extensions, ", "))
	}
	return out, nil
}

// openIn opens a file of a folder and refuses to leave the folder through links.
func openIn(dir, name string) (f *os.File, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return root.Open(name)
}

// byExtension returns the reader for a file's name.
func (c CorpusConfig) byExtension(name string) reader {
	switch strings.ToLower(path.Ext(name)) {
	case ".jsonl", ".ndjson":
		return c.reader(KindJSONL)
	case ".csv":
		return c.reader(KindCSV)
	case ".tsv":
		c.Delimiter = "\t"
		return c.reader(KindCSV)
	case ".parquet":
		return c.reader(KindParquet)
	}
	return c.reader(KindText)
}
