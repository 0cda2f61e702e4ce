// Package text provides the text that loupe works on: corpora that stream documents, and generated concept data.
//
// # Corpora
//
// [Open] turns a [CorpusConfig] into a [Corpus]: the doc comments of the Go standard library, plain text, a folder,
// JSONL, CSV, Parquet, a Hugging Face data set, or generated sentences. Documents come in the same order every time, one
// at a time, so that memory does not grow with the corpus. Sampling, limits and the train/held-out split are
// decided by a hash of each document's text: equal texts get the same answer, and a document keeps it when others
// come or go. A file that cannot be read whole is an error that names the file and the line, row or byte; nothing
// is skipped without being asked for, except documents that hold nothing but white space.
//
// # Concept data
//
// A [Suite] puts words into sentence templates. Every positive sentence has a matched negative: the same template
// with a word of another category that fits the same slot, so that a template says nothing about the label. Words
// and templates are split separately, and a held-out sentence has both a held-out word and a held-out template.
// All spans are half-open ranges of Unicode code points.
package text
