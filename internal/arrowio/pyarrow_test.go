package arrowio

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

// python returns an interpreter that has pyarrow: LOUPE_PYTHON, else python3. Without one the test is skipped.
func python(t *testing.T) string {
	t.Helper()
	exe := os.Getenv("LOUPE_PYTHON")
	if exe == "" {
		exe = "python3"
	}
	if err := exec.Command(exe, "-c", "import pyarrow.parquet").Run(); err != nil {
		t.Skipf("%s cannot import pyarrow: %v", exe, err)
	}
	return exe
}

func runPython(t *testing.T, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command(python(t), append([]string{"-c", script}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return out.String()
}

// TestPyArrowReadsOurFiles compares every column and both kinds of metadata, through a memory map, and Parquet.
func TestPyArrowReadsOurFiles(t *testing.T) {
	dir := t.TempDir()
	tab := sample()
	if err := os.WriteFile(filepath.Join(dir, "x.arrow"), encode(t, tab, 2), 0o644); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	half := tab.Index("half")
	tab.Fields = append(tab.Fields[:half:half], tab.Fields[half+1:]...)
	tab.Columns = append(tab.Columns[:half:half], tab.Columns[half+1:]...)
	p, err := NewParquet(&buf, tab.Schema)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Write(tab.Columns...); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.parquet"), buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got := runPython(t, `
import sys, pyarrow as pa, pyarrow.parquet as pq
f = pa.ipc.open_file(pa.memory_map(sys.argv[1] + "/x.arrow"))
t = f.read_all(); t.validate(full=True)
assert f.num_record_batches == 2
half = t.column("half").combine_chunks().flatten().to_numpy().view("uint16").tolist()
assert half == [1, 2, 3, 4, 5, 6] * 2, half
q = pq.read_table(sys.argv[1] + "/x.parquet"); q.validate(full=True)
act = q.schema.field("act").type
assert act.list_size == 2 and act.value_type == pa.float32(), act
t = t.drop_columns(["half"])
assert q.to_pydict() == t.to_pydict(), (q.to_pydict(), t.to_pydict())
d = t.to_pydict()
assert d["act"] == [[1, 2], [3, 4], [5, 6]] * 2 and d["text"] == ["", "één", "two\n"] * 2 and d["ok"] == [True, False, True] * 2
assert d["f64"] == [1.5, -2, 3] * 2 and d["i64"] == [2**40, -1, 0] * 2 and d["i32"] == [7, -7, 0] * 2 and d["f32"] == [0.5, 1, -1] * 2
assert d["mean"] == [[9], [8], [7]] * 2
print(t.schema.metadata[b"kind"].decode(), t.schema.field("f64").metadata[b"unit"].decode(), t.schema.field("act").metadata[b"hook"].decode())
`, dir)
	if got != "test nats blocks.0.hook_resid_post\n" {
		t.Errorf("metadata %q", got)
	}
}

// TestWeReadPyArrowFiles opens what pyarrow writes by default, file and stream.
func TestWeReadPyArrowFiles(t *testing.T) {
	dir := t.TempDir()
	runPython(t, `
import sys, pyarrow as pa
t = pa.table({"id": pa.array([1, 2, 3], pa.int32()), "s": ["a", None, "ccc"], "d": pa.array(["x", "y", "x"]).dictionary_encode(),
  "v": pa.FixedSizeListArray.from_arrays(pa.array([1, 2, 3, 4, 5, 6], pa.float32()), 2)})
with pa.OSFile(sys.argv[1] + "/f.arrow", "wb") as f, pa.ipc.new_file(f, t.schema) as w: w.write_table(t, max_chunksize=2)
with pa.OSFile(sys.argv[1] + "/s.arrow", "wb") as f, pa.ipc.new_stream(f, t.schema) as w: w.write_table(t, max_chunksize=2)
`, dir)
	for _, name := range []string{"f.arrow", "s.arrow"} {
		got, err := ReadTable(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want := []any{[]int32{1, 2, 3}, []string{"a", "", "ccc"}, []float32{1, 2, 3, 4, 5, 6}}
		if !reflect.DeepEqual(got.Columns, want) {
			t.Errorf("%s: got %v, want %v", name, got.Columns, want)
		}
	}
}
