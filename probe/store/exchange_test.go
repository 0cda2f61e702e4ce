package store

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/npy"
	"loupe/internal/safetensors"
)

// column reads a token site of all rows.
func column(t *testing.T, s *Store, site string) []float32 {
	t.Helper()
	var out []float32
	if err := s.Scan(context.Background(), []string{site}, func(c Chunk) error {
		out = append(out, c.Sites[0]...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func tokens(t *testing.T, s *Store) (token, pos []int32, doc []int64) {
	t.Helper()
	if err := s.Scan(context.Background(), nil, func(c Chunk) error {
		token, pos, doc = append(token, c.Token...), append(pos, c.Pos...), append(doc, c.Doc...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return token, pos, doc
}

func TestExportNpy(t *testing.T) {
	s := open(t, makeStore(t, testSpec()))
	dst := filepath.Join(t.TempDir(), "out")
	if err := s.Export(context.Background(), dst, Npy, nil); err != nil {
		t.Fatal(err)
	}
	for _, site := range []string{"blocks.0.hook_resid_post", "blocks.1.attn.hook_z"} {
		a, err := npy.Read(filepath.Join(dst, site+".npy"))
		if err != nil {
			t.Fatal(err)
		}
		x, err := a.Float32s()
		want := column(t, s, site)
		if err != nil || !slices.Equal(x, want) || !slices.Equal(a.Shape, []int{int(s.Rows()), len(want) / int(s.Rows())}) {
			t.Errorf("%s: shape %v, %v", site, a.Shape, err)
		}
	}
	token, _, doc := tokens(t, s)
	for name, want := range map[string][]int64{"doc": doc, "token": widen(token)} {
		a, err := npy.Read(filepath.Join(dst, name+".npy"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Int64s(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s differs, %v", name, err)
		}
	}
	a, err := npy.Read(filepath.Join(dst, "example", "pooler.npy"))
	if err != nil || !slices.Equal(a.Shape, []int{int(s.Examples()), 5}) {
		t.Errorf("pooler: %v", err)
	}
	b, err := npy.Read(filepath.Join(dst, "special.npy"))
	if err != nil || b.DType != "b1" || b.Len() != int(s.Rows()) {
		t.Errorf("special: %v", err)
	}
	if err := s.Export(context.Background(), dst, Npy, nil); err == nil || !strings.Contains(err.Error(), "already there") {
		t.Errorf("export over a folder: %v", err)
	}
	if err := s.Export(context.Background(), dst+"2", "csv", nil); err == nil {
		t.Error("format csv")
	}
	if _, err := os.Stat(dst + "2.tmp"); err == nil {
		t.Error("a failed export leaves its folder")
	}
}

func widen(v []int32) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

func TestExportSafetensors(t *testing.T) {
	s := open(t, makeStore(t, testSpec()))
	dst := filepath.Join(t.TempDir(), "out")
	if err := s.Export(context.Background(), dst, Safetensors, []string{"blocks.1.attn.hook_z", "pooler"}); err != nil {
		t.Fatal(err)
	}
	var x []float32
	var ids []int64
	for i := range s.token.shards {
		f, err := safetensors.Open(filepath.Join(dst, strings.Replace(s.token.shards[i].path, ".arrow", ".safetensors", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := f.Info("blocks.0.hook_resid_post"); ok {
			t.Error("a site that was not asked for")
		}
		v, err := f.Float32("blocks.1.attn.hook_z")
		if err != nil {
			t.Fatal(err)
		}
		n, err := f.Int64("token")
		if err != nil {
			t.Fatal(err)
		}
		x, ids = append(x, v...), append(ids, n...)
		if f.Metadata()["store_digest"] != s.Manifest().Digest {
			t.Errorf("metadata %v", f.Metadata())
		}
		f.Close()
	}
	token, _, _ := tokens(t, s)
	if !slices.Equal(x, column(t, s, "blocks.1.attn.hook_z")) || !slices.Equal(ids, widen(token)) {
		t.Error("values differ")
	}
}

// TestExportParquet compares with pyarrow where python has it, and otherwise checks that the files are there.
func TestExportParquet(t *testing.T) {
	dir := makeStore(t, testSpec())
	s := open(t, dir)
	dst := filepath.Join(t.TempDir(), "out")
	if err := s.Export(context.Background(), dst, Parquet, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(tree(t, dst)); n != len(s.token.shards)+len(s.example.shards)+1 {
		t.Errorf("%d files", n)
	}
	python := graphtest.Python(t, "pyarrow")
	cmd := exec.Command(python, "-c", `
import glob, sys, pyarrow as pa, pyarrow.parquet as pq
a, b = sys.argv[1:]
for k in ("token", "example"):
    x = pa.concat_tables([pa.ipc.open_file(p).read_all() for p in sorted(glob.glob(f"{a}/{k}/*.arrow"))])
    y = pa.concat_tables([pq.read_table(p) for p in sorted(glob.glob(f"{b}/{k}/*.parquet"))])
    y.validate(full=True)
    assert x.num_rows == y.num_rows > 0 and x.column_names == y.column_names
    for n in x.column_names:
        u, v = x.column(n), y.column(n)
        if n == "blocks.1.attn.hook_z":
            s = float(x.schema.field(n).metadata[b"scale"])
            u = [[float(e) * s for e in r] for r in u.to_pylist()]
            v = v.to_pylist()
            assert u == v
        else:
            assert u.to_pylist() == v.to_pylist(), n
assert pq.read_table(b + "/docs.parquet").to_pylist() == pa.ipc.open_file(a + "/docs.arrow").read_all().to_pylist()
`, dir, dst)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
}

// saeLensGolden is what Hugging Face datasets reads from testdata/saelens (see testdata/saelens_cache.py).
type saeLensGolden struct {
	Hook     string        `json:"hook"`
	Acts     [][][]float64 `json:"acts"`
	TokenIDs [][]int32     `json:"token_ids"`
}

func TestImportSAELens(t *testing.T) {
	raw, err := os.ReadFile("testdata/saelens.json")
	if err != nil {
		t.Fatal(err)
	}
	var want saeLensGolden
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for _, dtype := range []DType{Float32, Float16} {
		dst := filepath.Join(t.TempDir(), "s")
		opt := ImportOptions{Model: Source{ID: "tiny", Digest: "d"}, DType: dtype, ShardBytes: 500}
		if err := Import(context.Background(), "testdata/saelens", dst, opt); err != nil {
			t.Fatal(err)
		}
		s := open(t, dst)
		if err := Verify(context.Background(), dst); err != nil {
			t.Error(err)
		}
		x := column(t, s, want.Hook)
		token, pos, doc := tokens(t, s)
		row := 0
		for i, ctx := range want.Acts {
			for p, v := range ctx {
				if doc[row] != int64(i) || pos[row] != int32(p) || token[row] != want.TokenIDs[i][p] {
					t.Fatalf("row %d: doc %d pos %d token %d", row, doc[row], pos[row], token[row])
				}
				for j, y := range v {
					got := float64(x[row*len(v)+j])
					if tol := map[DType]float64{Float32: 0, Float16: math.Abs(y)*0x1p-11 + 1e-7}[dtype]; math.Abs(got-y) > tol {
						t.Fatalf("row %d, %s: %v, want %v", row, dtype, got, y)
					}
				}
				row++
			}
		}
		if int64(row) != s.Rows() {
			t.Errorf("%d rows, want %d", s.Rows(), row)
		}
	}
}

func TestImportSAELensRefuses(t *testing.T) {
	good := tree(t, "testdata/saelens")
	for name, c := range map[string]struct {
		file, content, text string
	}{
		"path leaves": {"state.json", `{"_data_files":[{"filename":"../x.arrow"}]}`, "leaves the folder"},
		"no json":     {"state.json", `{`, "state.json"},
		"no files":    {"state.json", `{"_data_files":[]}`, "no rows"},
		"missing":     {"state.json", `{"_data_files":[{"filename":"nope.arrow"}]}`, "nope.arrow"},
		"cut":         {"data-00001-of-00003.arrow", good["data-00001-of-00003.arrow"][:1000], "data-00001-of-00003.arrow"},
	} {
		dir := t.TempDir()
		for f, content := range good {
			if f == c.file {
				content = c.content
			}
			if err := os.WriteFile(filepath.Join(dir, f), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		dst := filepath.Join(t.TempDir(), "s")
		if err := Import(context.Background(), dir, dst, ImportOptions{}); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Open(dst, OpenOptions{}); err == nil {
			t.Errorf("%s: a store opens", name)
		}
	}
}

func TestImportArrays(t *testing.T) {
	dir := t.TempDir()
	const docs, width, d = 6, 4, 3
	x, ids := make([]float32, docs*width*d), make([]int32, docs*width)
	for i := range x {
		x[i] = float32(i) / 7
	}
	for i := range ids {
		ids[i] = int32(i * 3)
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, a := range map[string]*npy.Array{
		"a3.npy": npy.F32([]int{docs, width, d}, x), "a2.npy": npy.F32([]int{docs * width, d}, x),
		"ids.npy": npy.I32([]int{docs, width}, ids), "short.npy": npy.I32([]int{5}, ids[:5]),
	} {
		if err := npy.Write(path(name), a); err != nil {
			t.Fatal(err)
		}
	}
	if err := safetensors.Write(path("a.safetensors"), []safetensors.Tensor{
		safetensors.F32("acts", []int{docs, width, d}, x), safetensors.I32("token_ids", []int{docs * width}, ids),
	}, nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		src string
		opt ImportOptions
		bad string
	}{
		"npy 3":       {"a3.npy", ImportOptions{Site: "x", Tokens: path("ids.npy")}, ""},
		"npy 2":       {"a2.npy", ImportOptions{Site: "x", Tokens: path("ids.npy"), Context: 4}, ""},
		"safetensors": {"a.safetensors", ImportOptions{Site: "x"}, ""},
		"no context":  {"a2.npy", ImportOptions{Site: "x", Tokens: path("ids.npy")}, "--context"},
		"no tokens":   {"a3.npy", ImportOptions{Site: "x"}, "--tokens"},
		"few tokens":  {"a3.npy", ImportOptions{Site: "x", Tokens: path("short.npy")}, "5 token ids"},
		"no site":     {"a3.npy", ImportOptions{Tokens: path("ids.npy")}, "give the site"},
		"no tensor":   {"a.safetensors", ImportOptions{Site: "x", ActsName: "z"}, `no tensor "z"`},
		"other kind":  {"ids.txt", ImportOptions{Site: "x"}, "no such file"},
	} {
		dst := filepath.Join(t.TempDir(), "s")
		err := Import(context.Background(), path(c.src), dst, c.opt)
		if c.bad != "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%s: error %v does not say %q", name, err, c.bad)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := open(t, dst)
		token, pos, doc := tokens(t, s)
		if !slices.Equal(column(t, s, "x"), x) || !slices.Equal(token, ids) || doc[5] != 1 || pos[5] != 1 {
			t.Errorf("%s: values differ", name)
		}
		if !reflect.DeepEqual(s.Manifest().Sites[0].Shape, []int{d}) {
			t.Errorf("%s: %v", name, s.Manifest().Sites)
		}
	}
}
