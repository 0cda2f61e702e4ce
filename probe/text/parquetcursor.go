package text

import (
	"errors"
	"io"

	"github.com/parquet-go/parquet-go"
)

// cursor reads the values of one column of a row group, one page at a time.
type cursor struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buffer [256]parquet.Value
	rest   []parquet.Value // of buffer, not handed out yet
}

// next returns the next value, which is good until the call after it.
func (c *cursor) next() (parquet.Value, error) {
	for len(c.rest) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return parquet.Value{}, err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buffer[:])
		c.rest = c.buffer[:n]
		if n > 0 {
			continue // the page's values stay good until it is released
		}
		parquet.Release(c.page)
		c.page, c.values = nil, nil
		if err != nil && !errors.Is(err, io.EOF) {
			return parquet.Value{}, err
		}
	}
	v := c.rest[0]
	c.rest = c.rest[1:]
	return v, nil
}

func (c *cursor) close() {
	if c.page != nil {
		parquet.Release(c.page)
	}
	_ = c.pages.Close() // read only: nothing can be lost
}
