// Package safetensors reads and writes weights in the safetensors format: one file, or a Hugging Face folder whose
// weights are split over several files by model.safetensors.index.json.
//
// # Layout of a file
//
//	8 bytes    N, the length of the header, little-endian
//	N bytes    JSON: {"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
//	the rest   the tensors, row-major, little-endian, without gaps; offsets count from the end of the header
//
// # Safety
//
// A file is mapped, never read whole. Everything in the header is checked against the size of the file before
// anything is allocated or sliced by it, so a damaged or hostile file gives an error that names the file and the
// tensor. The header may have any length, so a tensor may start at any address: the readers below decode bytes and
// never reinterpret the map.
//
// Reference: https://github.com/huggingface/safetensors#format.
package safetensors

// Reader gives access to named tensors. *File and *Set implement it. Shapes are row-major; a scalar has shape [].
//
// Every method may be called from several goroutines at once, but not while Close runs.
type Reader interface {
	// Names lists the tensors in byte order of their names.
	Names() []string
	// Info describes the tensor called name; ok is false when there is none.
	Info(name string) (info Info, ok bool)
	// Bytes returns the tensor's bytes in the file: a view into the map, read-only, valid until Close, at any
	// alignment. Use Float32, Float64 or Int64 for values that outlive the reader.
	Bytes(name string) ([]byte, error)
	// Float32 returns the values of an F32, F16, BF16 (both exact) or F64 (rounded to nearest even) tensor as a new slice.
	Float32(name string) ([]float32, error)
	// Float64 returns the values of an F64, F32, F16 or BF16 tensor, exactly, as a new slice.
	Float64(name string) ([]float64, error)
	// Int64 returns the values of an integer or BOOL tensor as a new slice; a U64 above the range of int64 is an error.
	Int64(name string) ([]int64, error)
	// Metadata returns a copy of the free text under __metadata__.
	Metadata() map[string]string
	// Close releases the map. Views from Bytes must not be touched afterwards.
	Close() error
}

// Info describes one tensor of a file.
type Info struct {
	Name  string
	DType string // the format's name, such as "F32" or "BF16"
	Shape []int  // row-major; empty for a scalar

	start, end int // byte range within the data part
}

// Len returns the number of elements.
func (i Info) Len() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// Size returns the number of bytes that the tensor occupies.
func (i Info) Size() int { return i.end - i.start }
