package gguf

import (
	"encoding/binary"
	"fmt"
)

// cursor reads a file from front to back.
type cursor struct {
	b  []byte
	at int
}

func (c *cursor) left() uint64 { return uint64(len(c.b) - c.at) }

// take returns the next n bytes.
func (c *cursor) take(n uint64) ([]byte, error) {
	if n > c.left() {
		return nil, fmt.Errorf("byte %d: %d bytes are needed, but the file ends after %d", c.at, n, c.left())
	}
	b := c.b[c.at : c.at+int(n)]
	c.at += int(n)
	return b, nil
}

func (c *cursor) uint32() (uint32, error) {
	b, err := c.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (c *cursor) uint64() (uint64, error) {
	b, err := c.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (c *cursor) string() (string, error) {
	n, err := c.uint64()
	if err != nil {
		return "", err
	}
	if n > maxString {
		return "", fmt.Errorf("byte %d: a string of %d bytes is longer than the limit of %d", c.at, n, maxString)
	}
	b, err := c.take(n)
	return string(b), err
}
