package torchzip

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"loupe/internal/safetensors"
)

// plainTree turns a tree into what encoding/json makes of it.
func plainTree(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case []any:
		return plainItems(v)
	case Tuple:
		return plainItems(v)
	case *Dict:
		m := map[string]any{}
		for _, item := range v.Items() {
			m[fmt.Sprint(item.Key)] = plainTree(item.Value)
		}
		return m
	}
	return v
}

func plainItems(items []any) []any {
	out := []any{}
	for _, item := range items {
		out = append(out, plainTree(item))
	}
	return out
}

func get(t *testing.T, root any, key string) any {
	t.Helper()
	d, ok := root.(*Dict)
	if !ok {
		t.Fatalf("%T is no dictionary", root)
	}
	v, ok := d.Get(key)
	if !ok {
		t.Fatalf("no key %q", key)
	}
	return v
}

// TestTorchFiles reads what PyTorch wrote, with pickle protocols 2 and 4.
func TestTorchFiles(t *testing.T) {
	raw, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Tensors map[string]struct {
			Shape  []int
			Values []json.Number
		}
		Plain map[string]any
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cases.pt", "cases_protocol4.pt"} {
		f, err := Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got := plainTree(get(t, f.Root(), "plain")); !reflect.DeepEqual(got, any(want.Plain)) {
			t.Errorf("%s: plain values are %v, want %v", name, got, want.Plain)
		}
		if got := plainTree(get(t, f.Root(), "ordered")); !reflect.DeepEqual(got, map[string]any{"a": 1.0, "b": 2.0}) {
			t.Errorf("%s: ordered dictionary is %v", name, got)
		}
		if got := get(t, f.Root(), "size"); !reflect.DeepEqual(got, Tuple{int64(4), int64(6)}) {
			t.Errorf("%s: size is %v", name, got)
		}
		if got := get(t, f.Root(), "dtype"); got != "torch.bfloat16" {
			t.Errorf("%s: dtype is %v", name, got)
		}
		if got := get(t, f.Root(), "device"); got != "cpu" {
			t.Errorf("%s: device is %v", name, got)
		}
		all, err := Tensors(f.Root())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != len(want.Tensors)+2 || all["shared.0"] == nil || all["shared.1"] == nil {
			t.Errorf("%s: %d tensors, want %d", name, len(all), len(want.Tensors)+2)
		}
		for key, w := range want.Tensors {
			got := all["tensors."+key]
			if got == nil || !slices.Equal(got.Shape, w.Shape) || got.Len() != len(w.Values) {
				t.Errorf("%s: tensor %s is %+v, want shape %v", name, key, got, w.Shape)
				continue
			}
			if ints, err := got.Int64s(); err == nil {
				for i, v := range ints {
					if fmt.Sprint(v) != w.Values[i].String() {
						t.Errorf("%s: %s[%d] is %d, want %s", name, key, i, v, w.Values[i])
					}
				}
				continue
			}
			floats, err := got.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range floats {
				if f, _ := w.Values[i].Float64(); float32(f) != v {
					t.Errorf("%s: %s[%d] is %v, want %v", name, key, i, v, f)
				}
			}
		}
	}
	f, err := Open("testdata/parameter.pt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := Tensors(f.Root())
	if err != nil || !slices.Equal(all["weight"].Shape, []int{2, 3}) || !slices.Equal(all["state.weight"].Shape, []int{2, 3}) {
		t.Errorf("parameters are %v, %v", all, err)
	}
}

// TestRefusedFiles: whole files that must not be read.
func TestRefusedFiles(t *testing.T) {
	for name, want := range map[string]string{
		"legacy.pt":   "PyTorch before 1.6",
		"module.pt":   `global "torch.nn.modules.linear.Linear" is not allowed`,
		"system.pt":   `global "posix.system" is not allowed`,
		"expanded.pt": "more elements than its storage",
		"cases.json":  "no checkpoint of torch.save",
		"missing.pt":  "give the path",
	} {
		_, err := Open(filepath.Join("testdata", name))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want it to say %q", name, err, want)
		}
	}
}

// asm assembles a pickle of instructions (bytes and runes), integers (BININT) and text (BINUNICODE, or a name for "c").
func asm(parts ...any) []byte {
	p := pickle{opProto, 2}
	for _, part := range parts {
		switch v := part.(type) {
		case rune:
			p = append(p, byte(v))
		case int:
			p.int(v)
		case string:
			if module, name, ok := strings.Cut(v, "\n"); ok {
				p.name(module, name)
			} else {
				p.text(v)
			}
		case []byte:
			p = append(p, v...)
		case pickle:
			p = append(p, v...)
		}
	}
	return append(p, opStop)
}

// tensorOps are the instructions of a tensor of storage "0" with n claimed elements.
func tensorOps(n, offset int, shape, stride []int) pickle {
	var p pickle
	p.name("torch._utils", "_rebuild_tensor_v2")
	p = append(p, opMark, opMark)
	p.text("storage")
	p.name("torch", "FloatStorage")
	p.text("0")
	p.text("cpu")
	p.int(n)
	p = append(p, opTuple, opBinPersID)
	p.int(offset)
	p.ints(shape)
	p.ints(stride)
	return append(p, opNewFalse, opEmptyTuple, opTuple, opReduce)
}

// pack makes a checkpoint of a pickle and one storage of six floats.
func pack(t testing.TB, code []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	floats := safetensors.F32("", []int{6}, []float32{0, 1, 2, 3, 4, 5}).Data
	for _, m := range []member{{"a/data.pkl", code}, {"a/data/0", floats}} {
		if err := m.write(z, &counter{w: &out}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestHostilePickles(t *testing.T) {
	deep := pickle{opProto, 2}
	for range 200 {
		deep = append(deep, opEmptyList)
	}
	for range 199 {
		deep = append(deep, opAppend)
	}
	bomb := pickle{opProto, 2, opEmptyList, opBinPut, 0, opPop} // each list holds the one before it ten times
	for i := range 9 {
		bomb = append(bomb, opEmptyList, opMark)
		for range 10 {
			bomb = append(bomb, opBinGet, byte(i))
		}
		bomb = append(bomb, opAppends, opBinPut, byte(i+1), opPop)
	}
	bomb = append(bomb, opBinGet, 9, opStop)
	for name, c := range map[string]struct {
		code []byte
		want string
	}{
		"os.system":           {asm("posix\nsystem", "true", []byte{opTuple1, opReduce}), `global "posix.system" is not allowed`},
		"eval":                {asm("builtins\neval", "1", []byte{opTuple1, opReduce}), `global "builtins.eval" is not allowed`},
		"getattr":             {asm("builtins\ngetattr"), "not allowed"},
		"torch.load":          {asm("torch\nload"), `global "torch.load" is not allowed`},
		"stack global":        {asm("os", "system", []byte{opStackGlobal}), `global "os.system" is not allowed`},
		"stack global number": {asm("os", 1, []byte{opStackGlobal}), "name is a int"},
		"long global":         {asm([]byte{opGlobal}, bytes.Repeat([]byte("a"), 1000)), "above 256 bytes"},
		"INST":                {asm([]byte("(ios\nsystem\n")), "INST is refused"},
		"NEWOBJ":              {asm("collections\nOrderedDict", []byte{opEmptyTuple, 0x81}), "NEWOBJ is refused"},
		"extension":           {asm([]byte{0x82, 1}), "EXT1 is refused"},
		"unknown":             {asm([]byte{0xff}), "unknown instruction 0xff"},
		"call a storage type": {asm("torch\nFloatStorage", []byte{opEmptyTuple, opReduce}), "cannot be called"},
		"call a text":         {asm("text", []byte{opEmptyTuple, opReduce}), "a str is applied"},
		"a name as value":     {asm("torch\nFloatStorage"), "holds a name torch.FloatStorage"},
		"BUILD on a list":     {asm([]byte{opEmptyList, opEmptyDict, opBuild}), "BUILD on a list"},
		"text without end":    {asm([]byte{opBinUnicode, 0xff, 0xff, 0, 0}), "cut short"},
		"huge text":           {asm([]byte{opBinUnicode, 0xff, 0xff, 0xff, 0xff}), "above the limit"},
		"huge text 8":         {asm([]byte{opBinUnicode8, 0, 0, 0, 0, 0, 0, 0, 0x80}), "above the limit"},
		"long integer":        {asm([]byte{opLong1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1}), "an integer of 9 bytes"},
		"no value":            {asm(), "stack is empty"},
		"two values":          {asm(1, 2), "left over"},
		"open mark":           {asm([]byte{opMark}, 1), "left over"},
		"no mark":             {asm([]byte{opTuple}), "no mark"},
		"pop below a mark":    {asm(1, []byte{opMark, opPop}), "stack is empty"},
		"memo":                {asm([]byte{opBinGet, 3}), "nothing was stored"},
		"odd items":           {asm([]byte{opEmptyDict, opMark}, 1, []byte{opSetItems}), "1 keys and values"},
		"append to a number":  {asm(1, 2, []byte{opAppend}), "appended to a int"},
		"list as key":         {asm([]byte{opEmptyDict, opEmptyList}, 1, []byte{opSetItem}), "key of type list"},
		"deep":                {append(deep, opStop), "nested more than"},
		"contains itself":     {asm([]byte{opEmptyList, opBinPut, 0, opBinGet, 0, opAppend}), "nested more than"},
		"nested bomb":         {bomb, "more than 1048576 values"},
		"endless":             {bytes.Repeat([]byte{opNone, opPop}, maxOps), "more than"},
		"protocol":            {[]byte{opProto, 9, opNone, opStop}, "protocol 9"},
		"claims less":         {asm(tensorOps(5, 0, []int{5}, []int{1})), "claims 5 elements"},
		"claims more":         {asm(tensorOps(1<<30, 0, []int{1 << 30}, []int{1})), "claims 1073741824 elements"},
		"huge shape":          {asm(tensorOps(6, 0, []int{1 << 30, 1 << 30, 1 << 30}, []int{0, 0, 0})), "more elements than its storage"},
		"past the end":        {asm(tensorOps(6, 2, []int{5}, []int{1})), "passes the end"},
		"stride past the end": {asm(tensorOps(6, 0, []int{3}, []int{3})), "passes the end"},
		"offset at the end":   {asm(tensorOps(6, 6, []int{1}, []int{1})), "passes the end"},
		"negative offset":     {asm(tensorOps(6, -1, []int{1}, []int{1})), "offset -1"},
		"negative size":       {asm(tensorOps(6, 0, []int{-1}, []int{1})), "size 0 of 1 is -1"},
		"ranks differ":        {asm(tensorOps(6, 0, []int{2, 3}, []int{1})), "2 sizes and 1 strides"},
		"other folder": {asm([]byte{opMark}, "storage", "torch\nFloatStorage", "../../etc/passwd", "cpu", 6, []byte{opTuple, opBinPersID}),
			`member "a/data/../../etc/passwd" is missing`},
		"odd persistent id": {asm("x", []byte{opBinPersID}), "of another form"},
	} {
		_, err := parse(pack(t, c.code))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", name, err, c.want)
		}
	}
	root, err := parse(pack(t, asm(tensorOps(6, 1, []int{2, 2}, []int{1, 2}))))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := root.(*Tensor).Float32s(); err != nil || !slices.Equal(got, []float32{1, 3, 2, 4}) {
		t.Errorf("a strided view is %v, %v", got, err)
	}
}

func TestLyingArchives(t *testing.T) {
	whole := pack(t, asm(tensorOps(6, 0, []int{6}, []int{1})))
	central := bytes.LastIndex(whole, []byte("PK\x01\x02")) // the directory's entry of a/data/0
	patch := func(at int, v uint32) []byte {
		b := bytes.Clone(whole)
		binary.LittleEndian.PutUint32(b[central+at:], v)
		return b
	}
	both := patch(20, 1<<31-1)
	binary.LittleEndian.PutUint32(both[central+24:], 1<<31-1)
	flipped := bytes.Clone(whole)
	flipped[bytes.Index(whole, safetensors.F32("", nil, []float32{4, 5}).Data)] ^= 1

	var twice, packed, two bytes.Buffer
	z := zip.NewWriter(&twice)
	for range 2 {
		z.Create("a/data.pkl")
	}
	z.Close()
	z = zip.NewWriter(&packed)
	w, _ := z.Create("a/data.pkl") // deflated
	w.Write(asm(1))
	z.Close()
	z = zip.NewWriter(&two)
	z.Create("a/data.pkl")
	z.Create("b/data.pkl")
	z.Close()

	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"cut":              {whole[:len(whole)-30], "damaged"},
		"sizes differ":     {patch(20, 1000), "claims 1000 bytes and 24"},
		"past the end":     {both, "past the end"},
		"checksum":         {flipped, "checksum"},
		"header elsewhere": {patch(42, 7), "no readable header"},
		"twice":            {twice.Bytes(), "appears twice"},
		"compressed":       {packed.Bytes(), "compressed"},
		"two objects":      {two.Bytes(), "two objects"},
		"empty":            {nil, "damaged"},
		"bare pickle":      {asm(1), "bare pickle"},
	} {
		_, err := parse(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", name, err, c.want)
		}
	}
}

func sample() []safetensors.Tensor {
	return []safetensors.Tensor{
		safetensors.F32("b_dec", []int{3}, []float32{1, float32(math.Inf(-1)), -0.5}),
		safetensors.I32("k", nil, []int32{6}),
		safetensors.F32("encoder.weight", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}),
		safetensors.I64("group_sizes", []int{2}, []int64{1, 1 << 40}),
		{Name: "half", DType: "BF16", Shape: []int{2}, Data: []byte{1, 2, 3, 4}},
		safetensors.F32("none", []int{0, 4}, nil),
	}
}

// TestRoundTrip: what is written is read with the same bytes, and equal input gives equal files.
func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ae.pt")
	if err := Write(path, "ae", sample()); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(path, "ae", sample()); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); !bytes.Equal(first, again) {
		t.Error("two files of the same tensors differ")
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := f.StateDict()
	if err != nil || len(got) != len(sample()) {
		t.Fatalf("%d tensors, %v", len(got), err)
	}
	for i, w := range sample() {
		g := got[w.Name]
		if g == nil || g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) || !bytes.Equal(g.Bytes(), w.Data) {
			t.Errorf("%s is %+v, want %+v", w.Name, g, w)
		}
		if f.Root().(*Dict).Items()[i].Key != w.Name {
			t.Errorf("entry %d is %v, want %s", i, f.Root().(*Dict).Items()[i].Key, w.Name)
		}
		if start := bytes.Index(first, w.Data); len(w.Data) >= 24 && start%alignment != 0 {
			t.Errorf("%s starts at %d", w.Name, start)
		}
	}
	for name, bad := range map[string]safetensors.Tensor{
		"type":  {Name: "x", DType: "U64", Shape: []int{1}, Data: make([]byte, 8)},
		"shape": {Name: "x", DType: "F32", Shape: []int{2}, Data: make([]byte, 4)},
		"size":  {Name: "x", DType: "F32", Shape: []int{-1}},
	} {
		if err := Write(path, "ae", []safetensors.Tensor{bad}); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

// TestMoreItems: entries beside the tensors.
func TestMoreItems(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ae.pt")
	more := []Item{{"activation", "TopK"}, {"state", []Item{{"k", -6}, {"name", "ReLU"}}}}
	if err := Write(path, "ae", sample()[:1], more...); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := plainTree(f.Root()).(map[string]any)
	delete(got, "b_dec")
	if want := map[string]any{"activation": "TopK", "state": map[string]any{"k": -6.0, "name": "ReLU"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("entries are %v, want %v", got, want)
	}
	for name, bad := range map[string]Item{"type": {"a", 1.5}, "nested": {"a", []Item{{"b", nil}}}, "size": {"a", 1 << 40}} {
		if err := Write(path, "ae", nil, bad); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

// TestTorchReads loads a written file with torch.load(weights_only=True), where python3 has torch.
func TestTorchReads(t *testing.T) {
	python := "python3"
	if p := os.Getenv("LOUPE_PYTHON"); p != "" {
		python = p
	}
	if exec.Command(python, "-c", "import torch").Run() != nil {
		t.Skip("python3 has no torch")
	}
	path := filepath.Join(t.TempDir(), "ae.pt")
	if err := Write(path, "ae", sample()); err != nil {
		t.Fatal(err)
	}
	const script = `
import sys, torch
for mmap in (False, True):
    d = torch.load(sys.argv[1], weights_only=True, mmap=mmap)
    assert list(d) == ["b_dec", "k", "encoder.weight", "group_sizes", "half", "none"], list(d)
    assert d["k"].item() == 6 and d["k"].dtype == torch.int32 and d["k"].shape == ()
    assert d["encoder.weight"].tolist() == [[1, 2, 3], [4, 5, 6]] and d["encoder.weight"].is_contiguous()
    assert d["b_dec"].tolist() == [1, float("-inf"), -0.5] and d["group_sizes"].tolist() == [1, 2**40]
    assert d["half"].dtype == torch.bfloat16 and d["none"].shape == (0, 4)
`
	if out, err := exec.Command(python, "-c", script, path).CombinedOutput(); err != nil {
		t.Errorf("torch.load: %v\n%s", err, out)
	}
}
