package torchzip

import (
	"os"
	"path/filepath"
	"testing"
)

// drain reads everything that a tree offers.
func drain(t *testing.T, root any) {
	if root == nil {
		return
	}
	all, err := Tensors(root)
	if err != nil {
		return
	}
	for name, v := range all {
		if got, want := len(v.Bytes()), v.Len()*sizeOf(v.DType); got != want {
			t.Fatalf("%s has %d bytes, want %d", name, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(pack(f, asm(tensorOps(6, 0, []int{2, 3}, []int{3, 1}))))
	for _, name := range []string{"cases.pt", "parameter.pt", "expanded.pt", "legacy.pt"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if root, err := parse(data); err == nil {
			drain(t, root)
		}
	})
}

func FuzzPickle(f *testing.F) {
	f.Add(asm(tensorOps(6, 1, []int{2, 2}, []int{1, 2})))
	f.Add(asm([]byte{opEmptyDict}, "a", []byte{opEmptyList, opMemoize}, 1, []byte{opAppend, opSetItem}))
	f.Add(asm("posix\nsystem", "true", []byte{opTuple1, opReduce}))
	f.Fuzz(func(t *testing.T, code []byte) {
		m := &machine{code: code, storages: map[string][]byte{}, bytes: func(string) ([]byte, error) { return make([]byte, 24), nil }}
		root, err := m.run()
		if err != nil {
			return
		}
		if root, err = plant(root); err == nil {
			drain(t, root)
		}
	})
}
