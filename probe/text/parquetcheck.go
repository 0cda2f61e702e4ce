package text

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// openParquet opens a file of this size. The library allocates what the file's numbers say, so they are checked against
// the size of the file first.
func openParquet(f io.ReaderAt, size int64) (*parquet.File, error) {
	if err := checkFooter(f, size); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("%w; fetch it again", err)
	}
	leaves := len(file.Schema().Columns())
	for i, group := range file.Metadata().RowGroups {
		if len(group.Columns) != leaves {
			return nil, fmt.Errorf("damaged Parquet file: row group %d has %d columns, the schema %d; fetch it again", i+1, len(group.Columns), leaves)
		}
		for _, c := range group.Columns {
			start, length := extent(c.MetaData)
			if start < 0 || length < 0 || start > size || length > size-start {
				return nil, fmt.Errorf("damaged Parquet file: column %s has %d bytes at %d in a file of %d; fetch it again",
					strings.Join(c.MetaData.PathInSchema, "."), length, start, size)
			}
		}
	}
	return file, nil
}

// extent is where the pages of a column chunk are.
func extent(m format.ColumnMetaData) (start, length int64) {
	if m.DictionaryPageOffset != 0 {
		return m.DictionaryPageOffset, m.TotalCompressedSize
	}
	return m.DataPageOffset, m.TotalCompressedSize
}

// checkFooter checks the frame of the file and the structure of its footer.
func checkFooter(f io.ReaderAt, size int64) error {
	const magic = "PAR1"
	var head [4]byte
	var tail [8]byte
	if size < int64(len(head)+len(tail)) {
		return fmt.Errorf("%d bytes are too few for a Parquet file; fetch it again", size)
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := f.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return err
	}
	if string(head[:]) != magic {
		return fmt.Errorf("no Parquet file: it starts with %q, not %q; check the kind of the corpus", head[:], magic)
	}
	if string(tail[4:]) != magic {
		return fmt.Errorf("the Parquet file is truncated: it does not end in %q; fetch it again", magic)
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if length > size-int64(len(head)+len(tail)) {
		return fmt.Errorf("damaged Parquet file: a footer of %d bytes in a file of %d; fetch it again", length, size)
	}
	footer := make([]byte, length)
	if _, err := f.ReadAt(footer, size-int64(len(tail))-length); err != nil {
		return err
	}
	if _, err := thriftSize(footer); err != nil {
		return fmt.Errorf("damaged Parquet file: footer: %w; fetch it again", err)
	}
	return nil
}

// checkCodec refuses LZ4: parquet-go v0.29 gives wrong values for some LZ4 pages without an error, and does not end on
// damaged ones (its issue 608).
func checkCodec(file *parquet.File, index int) error {
	for _, group := range file.Metadata().RowGroups {
		if codec := group.Columns[index].MetaData.Codec; codec == format.Lz4Raw || codec == format.Lz4 {
			return fmt.Errorf("is compressed with %s, which cannot be read reliably; write the file again with snappy or zstd", codec)
		}
	}
	return nil
}

// checkPages goes over the page headers of a column chunk. A page may be sixteen times as long as the longest value;
// the writers in use make pages of about one megabyte.
func checkPages(f io.ReaderAt, m format.ColumnMetaData, longest int64) error {
	const mostValues = 1 << 24 // of a page
	at, left := extent(m)
	for values := int64(0); left > 0 && values < m.NumValues; {
		header, n, err := pageHeader(f, at, left)
		if err != nil {
			return fmt.Errorf("damaged Parquet file: page header at byte %d: %w; fetch it again", at, err)
		}
		compressed, whole := int64(header.CompressedPageSize), int64(header.UncompressedPageSize)
		if compressed < 0 || whole < 0 || compressed > left-n {
			return fmt.Errorf("damaged Parquet file: the page at byte %d has %d bytes (%d uncompressed), its column %d more; fetch it again", at, compressed, whole, left-n)
		}
		if whole > 16*longest {
			return fmt.Errorf("the page at byte %d has %d bytes uncompressed; raise max_line_bytes (%d) if it is meant to be that long", at, whole, longest)
		}
		entries := int64(header.DictionaryPageHeader.V.NumValues)
		count := int64(header.DataPageHeader.V.NumValues) + int64(header.DataPageHeaderV2.V.NumValues)
		if entries < 0 || entries > whole || count < 0 || count > mostValues || count > m.NumValues-values {
			return fmt.Errorf("damaged Parquet file: the page at byte %d has %d values and %d dictionary entries in %d bytes; fetch it again", at, count, entries, whole)
		}
		values += count
		at, left = at+n+compressed, left-n-compressed
	}
	return nil
}

// pageHeader decodes the page header at a byte of the file; left bytes remain of its column. n is the header's length.
func pageHeader(f io.ReaderAt, at, left int64) (header format.PageHeader, n int64, err error) {
	for _, window := range []int64{4 << 10, 1 << 20} { // statistics can make a header long
		b := make([]byte, min(window, left))
		if _, err = f.ReadAt(b, at); err != nil {
			return header, 0, err
		}
		var size int
		if size, err = thriftSize(b); errors.Is(err, errShort) {
			continue
		}
		if err != nil {
			return header, 0, err
		}
		var protocol thrift.CompactProtocol
		return header, int64(size), thrift.Unmarshal(&protocol, b[:size], &header)
	}
	return header, 0, err
}
