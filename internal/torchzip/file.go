package torchzip

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"loupe/internal/mmap"
)

const maxPickle = 16 << 20 // bytes of data.pkl

// File is an open checkpoint. Its tensors are views into the mapped file and end with Close.
type File struct {
	path string
	root any
	m    *mmap.Map
}

// Open maps the checkpoint at path and reads its tree. The caller must Close the file.
func Open(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("torchzip: %w; give the path of a readable .pt file", err)
	}
	root, err := parse(m.Bytes())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("torchzip: %s: %w", path, err), m.Close())
	}
	return &File{path: path, root: root, m: m}, nil
}

// Root returns the saved object: nil, bool, int64, float64, string, []byte, [*Dict], [*Tensor], []any for a list or
// [Tuple].
func (f *File) Root() any { return f.root }

// Close unmaps the file. A second Close does nothing.
func (f *File) Close() error { return f.m.Close() }

// StateDict returns the tensors of a saved dictionary by name, as a module's state_dict has them; other values of the
// dictionary are left out. It is an error if the saved object is no dictionary.
func (f *File) StateDict() (map[string]*Tensor, error) {
	d, ok := f.root.(*Dict)
	if !ok {
		return nil, fmt.Errorf("torchzip: %s holds a %s; save a state_dict, a dictionary of tensors", f.path, kindOf(f.root))
	}
	tensors := map[string]*Tensor{}
	for _, item := range d.Items() {
		name, isName := item.Key.(string)
		if t, ok := item.Value.(*Tensor); ok && isName {
			tensors[name] = t
		}
	}
	return tensors, nil
}

// archive is the part of a zip file that a checkpoint uses.
type archive struct {
	data    []byte
	prefix  string // "NAME/"
	members map[string]*zip.File
}

// parse reads the tree of a checkpoint's bytes.
func parse(data []byte) (any, error) {
	a, err := openArchive(data)
	if err != nil {
		return nil, err
	}
	if order, err := a.member("byteorder"); err == nil && string(order) != "little" {
		return nil, fmt.Errorf("the byte order is %.16q; only little-endian files are read: save it again on such a machine", order)
	}
	code, err := a.member("data.pkl")
	if err != nil {
		return nil, err
	}
	if len(code) > maxPickle {
		return nil, fmt.Errorf("data.pkl has %d bytes, above the limit of %d; save a state_dict, which names tensors only", len(code), maxPickle)
	}
	root, err := (&machine{code: code, storages: map[string][]byte{}, bytes: a.storage}).run()
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	if root, err = plant(root); err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	return root, nil
}

// legacyMagic opens the pickle stream of torch.save before version 1.6: PROTO 2, LONG1 of ten bytes.
var legacyMagic = []byte{0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}

// openArchive finds the members of a checkpoint.
func openArchive(data []byte) (*archive, error) {
	if bytes.HasPrefix(data, legacyMagic) {
		return nil, errors.New("this is the stream format of PyTorch before 1.6, which has no zip archive; load it with PyTorch and torch.save it again")
	}
	if len(data) > 1 && data[0] == 0x80 && data[1] < 6 {
		return nil, errors.New("this is a bare pickle, not a checkpoint of torch.save; save a state_dict with torch.save or as safetensors")
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%w; the file is damaged, cut short or no checkpoint of torch.save", err)
	}
	a := &archive{data: data, members: map[string]*zip.File{}}
	found := false
	for _, f := range z.File {
		if a.members[f.Name] != nil {
			return nil, fmt.Errorf("member %q appears twice; save the file again", f.Name)
		}
		a.members[f.Name] = f
		if prefix, ok := strings.CutSuffix(f.Name, "data.pkl"); ok && strings.Count(prefix, "/") == 1 && strings.HasSuffix(prefix, "/") {
			if found {
				return nil, fmt.Errorf("there are two objects, %sdata.pkl and %s; save one object with torch.save", a.prefix, f.Name)
			}
			a.prefix, found = prefix, true
		}
	}
	if !found {
		return nil, errors.New("no member NAME/data.pkl; this zip archive is no checkpoint of torch.save")
	}
	if a.members[a.prefix+"constants.pkl"] != nil {
		return nil, errors.New("this is a TorchScript program; save the module's state_dict with torch.save instead")
	}
	return a, nil
}

// member returns a view of the bytes of a member, whose name the archive's prefix precedes.
func (a *archive) member(name string) ([]byte, error) {
	f := a.members[a.prefix+name]
	if f == nil {
		return nil, fmt.Errorf("member %.80q is missing; the file is damaged or cut short", a.prefix+name)
	}
	fail := func(format string, args ...any) ([]byte, error) {
		return nil, fmt.Errorf("member %.80q %s; save the file again", f.Name, fmt.Sprintf(format, args...))
	}
	if f.Method != zip.Store || f.Flags&1 != 0 {
		return fail("is compressed or encrypted, which torch.save never does")
	}
	if f.CompressedSize64 != f.UncompressedSize64 {
		return fail("claims %d bytes and %d", f.CompressedSize64, f.UncompressedSize64)
	}
	start, err := f.DataOffset()
	if err != nil {
		return fail("has no readable header: %v", err)
	}
	if start < 0 || start > int64(len(a.data)) || f.UncompressedSize64 > uint64(int64(len(a.data))-start) {
		return fail("claims %d bytes at %d, past the end of the file", f.UncompressedSize64, start)
	}
	b := a.data[start : start+int64(f.UncompressedSize64)]
	if got := crc32.ChecksumIEEE(b); got != f.CRC32 {
		return fail("has checksum %08x, but the archive says %08x", got, f.CRC32)
	}
	return b, nil
}

// storage returns the bytes of the storage with a key.
func (a *archive) storage(key string) ([]byte, error) { return a.member("data/" + key) }
