package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

const magic = "\x93NUMPY"

// maxHeader is the longest header that is read, in bytes. NumPy's own limit for untrusted files is 10,000.
const maxHeader = 1 << 20

// maxRank is NumPy's limit on the number of dimensions.
const maxRank = 64

// header is the checked header of a file.
type header struct {
	dtype   string // such as "f4": kind and bytes of one value
	size    int    // bytes of one value
	fortran bool
	shape   []int
	len     int // values
	data    int // where the values start in the file
}

// parseHeader reads the header of a file and checks that exactly its values follow.
func parseHeader(file []byte) (header, error) {
	text, data, err := headerText(file)
	if err != nil {
		return header{}, err
	}
	h, err := parseDict(text)
	if err != nil {
		return header{}, fmt.Errorf("header %q: %w", shorten(text), err)
	}
	h.data = data
	if have := len(file) - data; have != h.len*h.size {
		return header{}, fmt.Errorf("%s of shape %v needs %d bytes, but %d follow the header", h.dtype, h.shape, h.len*h.size, have)
	}
	return h, nil
}

// headerText finds the header's text and where the data starts.
func headerText(file []byte) (text string, data int, err error) {
	if len(file) < len(magic)+4 || string(file[:len(magic)]) != magic {
		return "", 0, errors.New(`it does not start with "\x93NUMPY", a version and a length`)
	}
	start := len(magic) + 4
	var length int
	switch major, minor := file[6], file[7]; {
	case minor != 0 || major < 1 || major > 3:
		return "", 0, fmt.Errorf("its version is %d.%d; 1.0, 2.0 and 3.0 can be read", major, minor)
	case major == 1:
		length = int(binary.LittleEndian.Uint16(file[8:]))
	default:
		start += 2
		if len(file) < start {
			return "", 0, errors.New("it ends within the header's length")
		}
		claimed := binary.LittleEndian.Uint32(file[8:])
		if claimed > maxHeader {
			return "", 0, fmt.Errorf("its header claims %d bytes, more than the limit of %d", claimed, maxHeader)
		}
		length = int(claimed)
	}
	if length > len(file)-start {
		return "", 0, fmt.Errorf("its header claims %d bytes, but only %d follow", length, len(file)-start)
	}
	return string(file[start : start+length]), start + length, nil
}

// parseDict reads the Python dict literal of a header: exactly the three keys, each once, in any order.
func parseDict(text string) (header, error) {
	p := &literal{rest: text}
	h := header{len: 1}
	var descr string
	seen := map[string]bool{}
	if err := p.expect("{"); err != nil {
		return h, err
	}
	for !p.accept("}") {
		key, err := p.text()
		if err == nil {
			err = p.expect(":")
		}
		if err != nil {
			return h, err
		}
		if seen[key] {
			return h, fmt.Errorf("%q appears twice", key)
		}
		seen[key] = true
		switch key {
		case "descr":
			descr, err = p.text()
		case "fortran_order":
			h.fortran, err = p.truth()
		case "shape":
			h.shape, err = p.tuple()
		default:
			err = errors.New("it is none of descr, fortran_order, shape")
		}
		if err != nil {
			return h, fmt.Errorf("%q: %w", key, err)
		}
		if !p.accept(",") {
			if err := p.expect("}"); err != nil {
				return h, err
			}
			break
		}
	}
	if strings.TrimSpace(p.rest) != "" {
		return h, fmt.Errorf("%q follows the dict", shorten(p.rest))
	}
	if len(seen) != 3 {
		return h, errors.New("it must have descr, fortran_order and shape")
	}
	return h, h.measure(descr)
}

// measure sets the type and the number of values. The number of bytes, with zero dimensions counted as ones, must fit.
func (h *header) measure(descr string) error {
	var err error
	if h.dtype, h.size, err = parseDescr(descr); err != nil {
		return err
	}
	if len(h.shape) > maxRank {
		return fmt.Errorf("%d dimensions exceed NumPy's limit of %d", len(h.shape), maxRank)
	}
	empty := false
	for _, d := range h.shape {
		switch {
		case d == 0:
			empty = true
		case h.len > math.MaxInt/h.size/d:
			return fmt.Errorf("shape %v has more bytes than the address space", h.shape)
		default:
			h.len *= d
		}
	}
	if empty {
		h.len = 0
	}
	return nil
}

// parseDescr reads a type such as "<f4": byte order, kind and size.
func parseDescr(descr string) (dtype string, size int, err error) {
	order, dtype := "", descr
	if descr != "" && strings.ContainsRune("<>|=", rune(descr[0])) {
		order, dtype = descr[:1], descr[1:]
	}
	sizes := map[string]int{"f2": 2, "f4": 4, "f8": 8, "i1": 1, "i2": 2, "i4": 4, "i8": 8, "u1": 1, "u2": 2, "u4": 4, "u8": 8, "b1": 1}
	size, ok := sizes[dtype]
	switch {
	case !ok:
		return "", 0, fmt.Errorf("the type %q cannot be read; save the array as float16, float32, float64, an integer or bool", descr)
	case size > 1 && order != "<":
		return "", 0, fmt.Errorf("the type %q is not little-endian; save the array as %q", descr, "<"+dtype)
	}
	return dtype, size, nil
}

// shorten keeps error messages short.
func shorten(text string) string {
	const most = 120
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
