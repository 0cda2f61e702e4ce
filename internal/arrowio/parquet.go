package arrowio

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// Parquet writes a Parquet file, row group by row group: the export format for other tools.
type Parquet struct {
	schema Schema
	arrow  *arrow.Schema
	w      *pqarrow.FileWriter
}

// NewParquet begins a Parquet file with Zstandard compression on w. Float16 columns cannot be written: convert them.
func NewParquet(w io.Writer, schema Schema) (*Parquet, error) {
	if err := schema.check(); err != nil {
		return nil, err
	}
	for _, f := range schema.Fields {
		if f.Kind == Float16 {
			return nil, fmt.Errorf("arrowio: field %q: float16 is not written to Parquet; convert it to float32", f.Name)
		}
	}
	p := &Parquet{schema: schema, arrow: toArrow(schema)}
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCreatedBy("loupe"), parquet.WithDictionaryDefault(false))
	var err error
	// the schema is stored beside Parquet's own, so that Arrow readers see fixed-size lists again
	p.w, err = pqarrow.NewFileWriter(p.arrow, hideCloser{w}, props, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, fmt.Errorf("arrowio: parquet: %w", err)
	}
	return p, nil
}

// hideCloser keeps the library from closing the caller's writer.
type hideCloser struct{ io.Writer }

// Write writes the columns (see Writer.Write for the types) as one row group.
func (p *Parquet) Write(columns ...any) error {
	rec, err := toRecord(p.schema, p.arrow, columns)
	if err != nil {
		return err
	}
	if err := p.w.Write(rec); err != nil {
		return fmt.Errorf("arrowio: parquet: write row group: %w", err)
	}
	return nil
}

// Close writes the file's footer. It does not close the underlying writer.
func (p *Parquet) Close() error {
	if err := p.w.Close(); err != nil {
		return fmt.Errorf("arrowio: parquet: %w", err)
	}
	return nil
}
