package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"loupe/internal/arrowio"
)

// Doc is a row of docs.arrow.
type Doc struct {
	ID     int64
	Source string
	// Text is the document; docs.arrow keeps it only under Spec.KeepText.
	Text string
	// Digest is the SHA-256 of the text; the writer fills it in when it is empty.
	Digest string
	Split  string
	Group  string
	// Labels has a class for each label of Spec.Labels; a missing one is the empty class, which no moments count.
	Labels map[string]string
}

const labelPrefix = "label:"

func docsSchema(labels []string) arrowio.Schema {
	s := arrowio.Schema{
		Meta:   map[string]string{"loupe.store": "docs", "loupe.format": fmt.Sprint(FormatVersion)},
		Fields: []arrowio.Field{{Name: "doc", Kind: arrowio.Int64}},
	}
	for _, n := range []string{"source", "text", "digest", "split", "group"} {
		s.Fields = append(s.Fields, arrowio.Field{Name: n, Kind: arrowio.String})
	}
	for _, l := range labels {
		s.Fields = append(s.Fields, arrowio.Field{Name: labelPrefix + l, Kind: arrowio.String})
	}
	return s
}

// docsBatch bounds a record batch of docs.arrow by rows and by bytes of text.
const (
	docsBatchRows  = 4096
	docsBatchBytes = 64 << 20
)

// docsWriter writes docs in record batches.
type docsWriter struct {
	f      *outFile
	labels []string
	ids    []int64
	text   [][]string
	bytes  int
}

func newDocsWriter(f *outFile, labels []string) *docsWriter {
	return &docsWriter{f: f, labels: labels, text: make([][]string, 5+len(labels))}
}

func (d *docsWriter) add(doc Doc) error {
	values := []string{doc.Source, doc.Text, doc.Digest, doc.Split, doc.Group}
	for _, l := range d.labels {
		values = append(values, doc.Labels[l])
	}
	d.ids = append(d.ids, doc.ID)
	for i, v := range values {
		d.text[i] = append(d.text[i], v)
		d.bytes += len(v)
	}
	if len(d.ids) == docsBatchRows || d.bytes >= docsBatchBytes {
		return d.flush()
	}
	return nil
}

func (d *docsWriter) flush() error {
	if len(d.ids) == 0 {
		return nil
	}
	columns := []any{d.ids}
	for _, t := range d.text {
		columns = append(columns, t)
	}
	err := d.f.write(len(d.ids), columns...)
	d.ids, d.bytes = d.ids[:0], 0
	for i := range d.text {
		d.text[i] = d.text[i][:0]
	}
	return err
}

// readDocs calls yield with every doc of a docs file.
func readDocs(f *arrowio.File, labels []string, yield func(Doc) error) error {
	for b := range f.Batches() {
		ids, err := arrowio.Values[int64](f, b, 0)
		if err != nil {
			return err
		}
		text := make([][]string, 5+len(labels))
		for i := range text {
			if text[i], err = f.Strings(b, 1+i); err != nil {
				return err
			}
		}
		for r, id := range ids {
			doc := Doc{ID: id, Source: text[0][r], Text: text[1][r], Digest: text[2][r], Split: text[3][r], Group: text[4][r]}
			if len(labels) > 0 {
				doc.Labels = make(map[string]string, len(labels))
			}
			for i, l := range labels {
				doc.Labels[l] = text[5+i][r]
			}
			if err := yield(doc); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkDocsSchema(f *arrowio.File, labels []string) error {
	got, want := f.Schema().Fields, docsSchema(labels).Fields
	same := slices.EqualFunc(got, want, func(a, b arrowio.Field) bool {
		return a.Name == b.Name && a.Kind == b.Kind && a.Size == b.Size && !a.Nested
	})
	if !same {
		return fmt.Errorf("its columns are %s and the manifest says %s", fieldNames(got), fieldNames(want))
	}
	return nil
}

func fieldNames(fields []arrowio.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

func textDigest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
