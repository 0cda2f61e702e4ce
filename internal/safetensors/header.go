package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// maxHeader is the largest header that is read, in bytes: the limit of the reference implementation.
const maxHeader = 100_000_000

const metadataKey = "__metadata__"

// header is the checked header of one file.
type header struct {
	tensors  map[string]Info
	names    []string // sorted
	metadata map[string]string
	data     int // where the data part starts in the file
}

// parseHeader reads and checks the header of a whole file. The result refers to no byte of file.
func parseHeader(file []byte) (*header, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("it has %d bytes, fewer than the 8 of the header's length", len(file))
	}
	length := binary.LittleEndian.Uint64(file)
	if length > maxHeader {
		return nil, fmt.Errorf("its header claims %d bytes, more than the limit of %d", length, maxHeader)
	}
	if length > uint64(len(file)-8) {
		return nil, fmt.Errorf("its header claims %d bytes, but only %d follow", length, len(file)-8)
	}
	h := &header{tensors: map[string]Info{}, metadata: map[string]string{}, data: 8 + int(length)}
	if err := h.parse(file[8:h.data]); err != nil {
		return nil, err
	}
	if err := h.checkRanges(len(file) - h.data); err != nil {
		return nil, err
	}
	for name := range h.tensors {
		h.names = append(h.names, name)
	}
	slices.Sort(h.names)
	return h, nil
}

// parse reads the JSON: one object, then nothing but white space.
func (h *header) parse(text []byte) error {
	if len(text) == 0 || text[0] != '{' {
		return errors.New("its header does not start with '{'")
	}
	if !utf8.Valid(text) { // the decoder would replace the bytes silently
		return errors.New("its header is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err := eachMember(dec, func(name string) error {
		if name == metadataKey {
			return h.parseMetadata(dec)
		}
		info, err := parseInfo(dec, name)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		h.tensors[name] = info
		return nil
	})
	if err != nil {
		return err
	}
	return atEnd(dec)
}

func (h *header) parseMetadata(dec *json.Decoder) error {
	err := eachMember(dec, func(key string) error {
		value, err := nextString(dec)
		h.metadata[key] = value
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", metadataKey, err)
	}
	return nil
}

// parseInfo reads the description of one tensor and checks it on its own.
func parseInfo(dec *json.Decoder, name string) (Info, error) {
	info := Info{Name: name, Shape: []int{}}
	var offsets []int
	var seen int
	err := eachMember(dec, func(key string) (err error) {
		seen++
		switch key {
		case "dtype":
			info.DType, err = nextString(dec)
		case "shape":
			info.Shape, err = nextInts(dec)
		case "data_offsets":
			offsets, err = nextInts(dec)
		default:
			return errors.New("it is none of dtype, shape, data_offsets")
		}
		return err
	})
	if err != nil {
		return Info{}, err
	}
	if seen != 3 {
		return Info{}, errors.New("it must have dtype, shape and data_offsets")
	}
	if len(offsets) != 2 || offsets[0] < 0 || offsets[0] > offsets[1] {
		return Info{}, fmt.Errorf("data_offsets %v are not a range", offsets)
	}
	info.start, info.end = offsets[0], offsets[1]
	size, err := byteSize(info.DType, info.Shape)
	if err != nil {
		return Info{}, err
	}
	if size != info.Size() {
		return Info{}, fmt.Errorf("%s of shape %v needs %d bytes, but data_offsets %v hold %d", info.DType, info.Shape, size, offsets, info.Size())
	}
	return info, nil
}

// checkRanges demands that the tensors fill the data part, each byte exactly once.
func (h *header) checkRanges(dataSize int) error {
	order := make([]Info, 0, len(h.tensors))
	for _, info := range h.tensors {
		order = append(order, info)
	}
	slices.SortFunc(order, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), cmp.Compare(a.Name, b.Name))
	})
	at := 0
	for _, info := range order {
		switch {
		case info.end > dataSize:
			return fmt.Errorf("tensor %q ends at byte %d of the data, but the file holds only %d", info.Name, info.end, dataSize)
		case info.start < at:
			return fmt.Errorf("tensor %q starts at byte %d of the data, inside the tensor before it, which ends at %d", info.Name, info.start, at)
		case info.start > at:
			return fmt.Errorf("tensor %q starts at byte %d of the data and leaves a gap after byte %d", info.Name, info.start, at)
		}
		at = info.end
	}
	if at != dataSize {
		return fmt.Errorf("%d bytes of data belong to no tensor", dataSize-at)
	}
	return nil
}
