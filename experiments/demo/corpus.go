package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"

	"loupe/probe/text"
)

// corpus is the concept sentences and then a corpus of documents. The sentences' ids are their indices; a document's id
// is its own plus their number.
type corpus struct {
	sentences []text.Labelled
	documents text.Corpus
}

// openCorpus generates the sentences and opens the documentation of Go's standard library.
func openCorpus(c *Config) (*corpus, error) {
	suite, err := text.NewSuite()
	if err != nil {
		return nil, err
	}
	sentences, err := suite.Generate(text.GenerateConfig{
		Concepts: c.Text.Concepts, Seed: c.Seed, Train: c.Text.TrainPairs, HeldOut: c.Text.HeldOutPairs, HeldOutShare: c.Text.HeldOutShare,
	})
	if err != nil {
		return nil, err
	}
	docs := text.DefaultCorpusConfig(text.KindGoRoot)
	docs.HeldOut, docs.Seed, docs.MaxDocs = c.Text.HeldOut, c.Seed, c.Text.MaxDocs
	documents, err := text.Open(docs)
	if err != nil {
		return nil, err
	}
	return &corpus{sentences, documents}, nil
}

// Name implements [text.Corpus].
func (c *corpus) Name() string {
	return fmt.Sprintf("%d concept sentences and %s", len(c.sentences), c.documents.Name())
}

// Digest implements [text.Corpus]: it covers the digest of the documents and every field of the sentences.
func (c *corpus) Digest() (string, error) {
	documents, err := c.documents.Digest()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", documents)
	for _, s := range c.sentences {
		fmt.Fprintf(h, "%q\n", []any{s})
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Docs implements [text.Corpus].
func (c *corpus) Docs(ctx context.Context) iter.Seq2[text.Doc, error] {
	return func(yield func(text.Doc, error) bool) {
		for i, s := range c.sentences {
			d := s.Doc()
			d.ID = int64(i)
			if !yield(d, nil) {
				return
			}
		}
		for d, err := range c.documents.Docs(ctx) {
			d.ID += int64(len(c.sentences))
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}
