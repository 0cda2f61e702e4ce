package text

import (
	"context"
	"iter"
)

// Names of the two parts that a split assigns documents to.
const (
	Train   = "train"
	HeldOut = "held-out"
)

// Doc is one document.
type Doc struct {
	ID     int64             // place in the unlimited corpus, from 0; sampling and limits leave it unchanged
	Source string            // where it came from, for people: file and line, row or byte
	Text   string            // valid UTF-8
	Split  string            // Train, HeldOut, the corpus's own name of a split, or ""
	Group  string            // what belongs together (file, package, ...); a split by group keeps it together
	Labels map[string]string // label columns; nil without labels
}

// Corpus is a sequence of documents.
type Corpus interface {
	// Name says in a few characters what the corpus is. It holds no path of the machine.
	Name() string

	// Digest is the SHA-256, in hexadecimal, of the documents in order: ID, text, split, group and labels. It reads
	// the whole corpus, unless Docs has already run to its end.
	Digest() (string, error)

	// Docs yields the documents, in the same order every time. An error is yielded once, as the last pair, with a
	// zero Doc.
	Docs(ctx context.Context) iter.Seq2[Doc, error]
}

// source is a corpus before limits, sampling and splits.
type source interface {
	name() string

	// each calls emit for each document until emit returns false. It sets no ID.
	each(ctx context.Context, emit emit) error
}

// emit takes one document and says whether to go on.
type emit func(Doc) bool
