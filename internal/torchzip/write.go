package torchzip

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
)

const alignment = 64 // bytes; torch can map a storage that starts so

// torchClasses maps safetensors's names of element types to storage classes of torch.
var torchClasses = map[string]string{
	"F64": "DoubleStorage", "F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage",
	"I64": "LongStorage", "I32": "IntStorage", "I16": "ShortStorage", "I8": "CharStorage", "U8": "ByteStorage", "BOOL": "BoolStorage",
}

// Write writes a state_dict, an ordered dictionary of contiguous tensors, as torch.save would, replacing path
// atomically; name is the archive's folder, which torch takes from the file's name. more are further entries, whose
// values are string, int, bool, []string or []Item, a nested dictionary. torch.load reads the file with weights_only=True. Equal input
// gives equal bytes.
func Write(path, name string, tensors []safetensors.Tensor, more ...Item) error {
	code, err := stateDict(tensors, more)
	if err != nil {
		return fmt.Errorf("torchzip: %s was not written: %w", path, err)
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		counted := &counter{w: w}
		z := zip.NewWriter(counted)
		members := []member{{"data.pkl", code}, {"byteorder", []byte("little")}}
		for i, t := range tensors {
			members = append(members, member{fmt.Sprintf("data/%d", i), t.Data})
		}
		for _, m := range append(members, member{"version", []byte("3\n")}) {
			m.name = name + "/" + m.name
			if err := m.write(z, counted); err != nil {
				return err
			}
		}
		return z.Close()
	})
	if err != nil {
		return fmt.Errorf("torchzip: %s was not written: %w", path, err)
	}
	return nil
}

// counter counts the bytes written.
type counter struct {
	w io.Writer
	n int
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += n
	return n, err
}

type member struct {
	name string
	data []byte
}

// write adds the member, uncompressed and aligned by an extra field of zeros, as torch pads.
func (m member) write(z *zip.Writer, at *counter) error {
	const localHeader, fieldHeader = 30, 4
	if err := z.Flush(); err != nil {
		return err
	}
	start := at.n + localHeader + len(m.name) + fieldHeader
	pad := (alignment - start%alignment) % alignment
	extra := make([]byte, fieldHeader+pad)
	copy(extra, "FB")
	binary.LittleEndian.PutUint16(extra[2:], uint16(pad))
	size := uint64(len(m.data))
	w, err := z.CreateRaw(&zip.FileHeader{
		Name: m.name, Method: zip.Store, Extra: extra,
		CRC32: crc32.ChecksumIEEE(m.data), CompressedSize64: size, UncompressedSize64: size,
	})
	if err != nil {
		return err
	}
	_, err = w.Write(m.data)
	return err
}

// stateDict returns the pickle of an ordered dictionary of the tensors, whose storages are numbered in order, and
// of more.
func stateDict(tensors []safetensors.Tensor, more []Item) ([]byte, error) {
	p := pickle{opProto, 2}
	p.name("collections", "OrderedDict")
	p = append(p, opEmptyTuple, opReduce, opMark)
	seen := map[string]bool{}
	for i, t := range tensors {
		count := 1
		for _, d := range t.Shape {
			if d < 0 || d > math.MaxInt32 {
				return nil, fmt.Errorf("tensor %s has shape %v; sizes must be from 0 to 2^31 - 1", t.Name, t.Shape)
			}
			count *= d
		}
		class := torchClasses[t.DType]
		switch {
		case class == "":
			return nil, fmt.Errorf("tensor %s is of type %s, which torch files of loupe cannot hold", t.Name, t.DType)
		case count*sizeOf(t.DType) != len(t.Data) || count > math.MaxInt32:
			return nil, fmt.Errorf("tensor %s of type %s and shape %v has %d bytes", t.Name, t.DType, t.Shape, len(t.Data))
		case seen[t.Name] || len(t.Name) > maxText:
			return nil, fmt.Errorf("tensor %.80q: names must differ and be short", t.Name)
		}
		seen[t.Name] = true
		p.text(t.Name)
		p.name("torch._utils", "_rebuild_tensor_v2")
		p = append(p, opMark, opMark)
		p.text("storage")
		p.name("torch", class)
		p.text(fmt.Sprint(i))
		p.text("cpu")
		p.int(count)
		p = append(p, opTuple, opBinPersID)
		p.int(0)
		p.ints(t.Shape)
		stride := make([]int, len(t.Shape))
		for axis, step := len(t.Shape)-1, 1; axis >= 0; axis-- {
			stride[axis] = step
			step *= max(t.Shape[axis], 1)
		}
		p.ints(stride)
		p = append(p, opNewFalse)
		p.name("collections", "OrderedDict")
		p = append(p, opEmptyTuple, opReduce, opTuple, opReduce)
	}
	if err := p.items(more); err != nil {
		return nil, err
	}
	return append(p, opSetItems, opStop), nil
}

// pickle is a program under construction.
type pickle []byte

func (p *pickle) name(module, name string) {
	*p = append(append(append(*p, opGlobal), module...), '\n')
	*p = append(append(*p, name...), '\n')
}

func (p *pickle) text(s string) {
	*p = binary.LittleEndian.AppendUint32(append(*p, opBinUnicode), uint32(len(s)))
	*p = append(*p, s...)
}

func (p *pickle) int(v int) {
	*p = binary.LittleEndian.AppendUint32(append(*p, opBinInt), uint32(v))
}

func (p *pickle) ints(values []int) {
	*p = append(*p, opMark)
	for _, v := range values {
		p.int(v)
	}
	*p = append(*p, opTuple)
}

// items appends keys and values.
func (p *pickle) items(items []Item) error {
	for _, item := range items {
		for _, v := range []any{item.Key, item.Value} {
			switch v := v.(type) {
			case string:
				p.text(v)
			case int:
				if v < math.MinInt32 || v > math.MaxInt32 {
					return fmt.Errorf("entry %v is %d, beyond 32 bits", item.Key, v)
				}
				p.int(v)
			case bool:
				if v {
					*p = append(*p, opNewTrue)
				} else {
					*p = append(*p, opNewFalse)
				}
			case []string:
				*p = append(*p, opEmptyList, opMark)
				for _, text := range v {
					p.text(text)
				}
				*p = append(*p, opAppends)
			case []Item:
				*p = append(*p, opEmptyDict, opMark)
				if err := p.items(v); err != nil {
					return err
				}
				*p = append(*p, opSetItems)
			default:
				return fmt.Errorf("entry %v is a %T; text, int, bool, []string and []Item are written", item.Key, v)
			}
		}
	}
	return nil
}
