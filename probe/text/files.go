package text

import (
	"context"
	"fmt"
	"os"
)

// reader calls emit for each document of one open file. name is the file's name within the corpus; errors name it.
// It sees that the context has ended only between documents, which is where the caller checks it.
type reader interface {
	read(f *os.File, name string, emit emit) error
}

// file is one file of a corpus.
type file struct {
	name string // within the corpus, with slashes
	open func() (*os.File, error)
	read reader
}

// files is a corpus of files in a fixed order.
type files struct {
	title string
	list  []file
}

func (s *files) name() string { return s.title }

func (s *files) each(ctx context.Context, emit emit) error {
	for _, f := range s.list {
		if err := ctx.Err(); err != nil {
			return err
		}
		more, err := f.each(emit)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// each reads one file and tells whether emit wants more.
func (f file) each(emit emit) (more bool, err error) {
	h, err := f.open()
	if err != nil {
		return false, fmt.Errorf("text: open %s: %w; check that the file is there and readable", f.name, err)
	}
	defer func() { _ = h.Close() }() // read only: nothing can be lost
	more = true
	err = f.read.read(h, f.name, func(d Doc) bool {
		more = emit(d)
		return more
	})
	return more, err
}
