package text

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// thriftSize returns the length in bytes of the Thrift structure (compact protocol) that b starts with. It checks that
// every string and list fits into the rest of b, so that decoding allocates in proportion to b and not to the numbers
// that b holds. errShort means that b ends first.
//
// Source: the compact protocol in doc/specs of Apache Thrift.
func thriftSize(b []byte) (int, error) {
	w := thriftWalk{b: b}
	err := w.structure(0)
	return w.at, err
}

var errShort = errors.New("the structure does not end")

// Type codes of the compact protocol.
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftInt8
	thriftInt16
	thriftInt32
	thriftInt64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

const thriftDeepest = 64 // nesting that no Parquet structure reaches

type thriftWalk struct {
	b  []byte
	at int
}

func (w *thriftWalk) skip(n uint64) error {
	if n > uint64(len(w.b)-w.at) {
		return errShort
	}
	w.at += int(n)
	return nil
}

func (w *thriftWalk) byte() (byte, error) {
	if w.at == len(w.b) {
		return 0, errShort
	}
	w.at++
	return w.b[w.at-1], nil
}

func (w *thriftWalk) varint() (uint64, error) {
	v, n := binary.Uvarint(w.b[w.at:])
	if n == 0 {
		return 0, errShort
	}
	if n < 0 {
		return 0, errors.New("a number of more than 64 bits")
	}
	w.at += n
	return v, nil
}

// structure passes over fields until the one that stops the structure.
func (w *thriftWalk) structure(depth int) error {
	if depth > thriftDeepest {
		return fmt.Errorf("structures nested more than %d deep", thriftDeepest)
	}
	for {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the field's number follows
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if code := head & 15; code != thriftTrue && code != thriftFalse {
			if err := w.value(code, depth); err != nil {
				return err
			}
		}
	}
}

// value passes over one value of a field or list.
func (w *thriftWalk) value(code byte, depth int) error {
	switch code {
	case thriftTrue, thriftFalse, thriftInt8:
		return w.skip(1)
	case thriftInt16, thriftInt32, thriftInt64:
		_, err := w.varint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftBinary:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case thriftList, thriftSet:
		return w.list(depth)
	case thriftMap:
		return w.pairs(depth)
	case thriftStruct:
		return w.structure(depth + 1)
	}
	return fmt.Errorf("unknown type code %d", code)
}

func (w *thriftWalk) list(depth int) error {
	head, err := w.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 { // the number follows
		if n, err = w.varint(); err != nil {
			return err
		}
	}
	return w.repeat(n, depth, head&15)
}

func (w *thriftWalk) pairs(depth int) error {
	n, err := w.varint()
	if err != nil || n == 0 {
		return err
	}
	types, err := w.byte()
	if err != nil {
		return err
	}
	return w.repeat(n, depth, types>>4, types&15)
}

// repeat passes over n values of each of the types in turn. A value has at least one byte.
func (w *thriftWalk) repeat(n uint64, depth int, codes ...byte) error {
	if n > uint64(len(w.b)-w.at) {
		return errShort
	}
	for range n {
		for _, code := range codes {
			if err := w.value(code, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
