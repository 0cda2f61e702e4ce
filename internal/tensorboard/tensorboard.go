// Package tensorboard writes scalars to event files that TensorBoard reads.
//
// An event file is a sequence of TFRecords: the length of the data (8 bytes, little endian), a masked CRC-32C of those 8
// bytes, the data, and a masked CRC-32C of the data. The data is a protocol buffer of type tensorflow.Event.
//
// Files are a function of what is written to them: an event's wall_time, which TensorBoard shows on its time axes, is its
// step in seconds.
package tensorboard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// FileName is what an event file is called: TensorBoard looks for "tfevents" in names.
const FileName = "events.out.tfevents.0000000000.loupe"

// Writer writes one event file.
type Writer struct {
	f   *os.File
	buf []byte
}

// Create makes an event file called [FileName] in dir, and dir with it. A file that is there is replaced.
func Create(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, FileName))
	if err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	w := &Writer{f: f}
	return w, w.write(event(0, fileVersion, []byte("brain.Event:2")))
}

// Scalars writes values at a step, in the order of their names.
func (w *Writer) Scalars(step int64, values map[string]float64) error {
	var summary []byte
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := appendBytes(nil, valueTag, []byte(name))
		value = appendKey(value, valueSimple, fixed32)
		value = binary.LittleEndian.AppendUint32(value, math.Float32bits(float32(values[name])))
		summary = appendBytes(summary, summaryValue, value)
	}
	return w.write(event(step, eventSummary, summary))
}

// Close closes the file.
func (w *Writer) Close() error {
	if err := errors.Join(w.f.Sync(), w.f.Close()); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	return nil
}

// write appends one record, in one write, so that a reader sees whole ones.
func (w *Writer) write(data []byte) error {
	w.buf = binary.LittleEndian.AppendUint64(w.buf[:0], uint64(len(data)))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, masked(w.buf))
	w.buf = append(w.buf, data...)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, masked(data))
	if _, err := w.f.Write(w.buf); err != nil {
		return fmt.Errorf("tensorboard: write %s: %w; make room on the disk", w.f.Name(), err)
	}
	return nil
}

// masked is a CRC-32C as TFRecords have it.
func masked(data []byte) uint32 {
	c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}

// Numbers of the fields of tensorflow.Event, Summary and Summary.Value, and wire types.
const (
	eventTime, eventStep, fileVersion, eventSummary = 1, 2, 3, 5

	summaryValue = 1

	valueTag, valueSimple = 1, 2

	varint, fixed64, delimited, fixed32 = 0, 1, 2, 5
)

// event is an Event whose one content is field what.
func event(step int64, what int, content []byte) []byte {
	b := appendKey(nil, eventTime, fixed64)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(step)))
	b = binary.AppendUvarint(appendKey(b, eventStep, varint), uint64(step))
	return appendBytes(b, what, content)
}

func appendKey(b []byte, field, wire int) []byte {
	return binary.AppendUvarint(b, uint64(field<<3|wire))
}

func appendBytes(b []byte, field int, content []byte) []byte {
	b = binary.AppendUvarint(appendKey(b, field, delimited), uint64(len(content)))
	return append(b, content...)
}
