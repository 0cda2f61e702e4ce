package capture

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"loupe/probe/store"
	"loupe/probe/text"
)

// position is a place in the capture: the next batch to be computed. The store keeps it with every batch.
type position struct {
	Docs   int64  `json:"docs"`   // documents before the window
	Tokens int64  `json:"tokens"` // tokens read before the window
	Packs  int32  `json:"packs"`  // packs before the window
	Batch  int    `json:"batch"`  // batches of the window that are done
	Counts Counts `json:"counts"` // of all that is done
}

// Counts says how much has been captured.
type Counts struct {
	Documents int64 `json:"documents"` // documents read
	Empty     int64 `json:"empty"`     // documents without tokens
	Truncated int64 `json:"truncated"` // documents of which tokens were left out
	Sequences int64 `json:"sequences"`
	Tokens    int64 `json:"tokens"`   // tokens that the model read
	Cells     int64 `json:"cells"`    // tokens and padding
	Rows      int64 `json:"rows"`     // token rows stored
	Examples  int64 `json:"examples"` // example rows stored
	Batches   int64 `json:"batches"`
}

// window is a run of documents whose sequences are sorted and batched together.
type window struct {
	from, next position // next: the window after this one; Counts are not filled
	docs       []store.Doc
	batches    []batch
	tokens     int64
	chars      int64 // capped as in scan
	empty, cut int64
}

// Limits of a window besides its tokens.
const (
	windowDocs  = 1 << 14
	windowBytes = 16 << 20 // of text
)

// reader cuts the corpus into windows.
type reader struct {
	corpus    text.Corpus
	enc       *encoder
	cfg       *Config
	maxLength int
	buckets   []int
	labels    map[string]bool
	split     string // of the documents to read; "": all
}

// read calls emit with every window from a position on, and stops at the first error.
func (r *reader) read(ctx context.Context, from position, emit func(*window) error) error {
	f := r.begin(from)
	n := int64(0)
	for d, err := range r.corpus.Docs(ctx) {
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		if n++; n <= from.Docs {
			continue
		}
		if r.split != "" && d.Split != r.split {
			f.skipped++
			continue
		}
		more, err := f.add(d)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if f.full() {
			w, err := f.window()
			if err != nil {
				return err
			}
			if err := emit(w); err != nil {
				return err
			}
			f = r.begin(w.next)
		}
	}
	if len(f.w.docs) == 0 {
		return nil
	}
	w, err := f.window()
	if err != nil {
		return err
	}
	return emit(w)
}

// filler fills one window.
type filler struct {
	*reader
	w       *window
	seqs    []sequence
	pack    *packer
	bytes   int
	skipped int64 // documents of other splits
}

func (r *reader) begin(from position) *filler {
	f := &filler{reader: r, w: &window{from: from}}
	if r.cfg.Packing {
		f.pack = &packer{length: r.maxLength, next: from.Packs}
		if r.cfg.BOS == BOSPrepend {
			f.pack.bos = r.enc.prefix[:1]
		}
	}
	return f
}

// add takes a document. It returns false, and takes nothing, when the limit of tokens is reached.
func (f *filler) add(d text.Doc) (more bool, err error) {
	doc := int32(len(f.w.docs))
	var seqs []sequence
	var whole []cell
	var cut bool
	if f.pack != nil {
		whole, cut, err = f.enc.whole(d, doc)
	} else {
		seqs, cut, err = f.enc.sequences(d, doc)
	}
	if err != nil {
		return false, err
	}
	n := int64(len(whole))
	for _, s := range seqs {
		n += int64(len(s.cells))
	}
	if limit := f.cfg.MaxTokens; limit > 0 && f.w.from.Tokens+f.w.tokens+n > limit {
		return false, nil
	}
	if n == 0 {
		f.w.empty++
	}
	if cut {
		f.w.cut++
	}
	f.w.tokens += n
	f.w.chars += cappedChars(d.Text, f.cfg, f.maxLength)
	f.bytes += len(d.Text)
	f.w.docs = append(f.w.docs, f.storeDoc(d))
	f.seqs = append(f.seqs, seqs...)
	if f.pack != nil {
		f.pack.add(whole)
	}
	return true, nil
}

// storeDoc is the document's row of docs.arrow. Text that is not kept is let go now.
func (f *filler) storeDoc(d text.Doc) store.Doc {
	sum := sha256.Sum256([]byte(d.Text))
	out := store.Doc{ID: d.ID, Source: d.Source, Digest: hex.EncodeToString(sum[:]), Split: d.Split, Group: d.Group}
	if f.cfg.KeepText {
		out.Text = d.Text
	}
	for name, class := range d.Labels {
		if !f.labels[name] {
			continue
		}
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		out.Labels[name] = class
	}
	return out
}

func (f *filler) full() bool {
	return f.w.tokens >= int64(f.cfg.Window)*int64(f.cfg.BatchTokens) || len(f.w.docs) >= windowDocs || f.bytes >= windowBytes
}

// window finishes the window: its batches, and where the next one begins.
func (f *filler) window() (*window, error) {
	w := f.w
	w.next = position{Docs: w.from.Docs + int64(len(w.docs)) + f.skipped, Tokens: w.from.Tokens + w.tokens}
	if f.pack != nil {
		f.pack.flush()
		f.seqs, w.next.Packs = f.pack.ready, f.pack.next
	}
	var err error
	w.batches, err = toBatches(f.seqs, f.buckets, f.cfg.BatchTokens)
	return w, err
}
