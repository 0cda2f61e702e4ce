package inventory

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"loupe/internal/graphtest"
)

// TestInventory: every item is whole, and what is called present has its file and its tests in the repository. (That
// nothing which the work named is left out is checked by the test of the same name beside `loupe list`.)
func TestInventory(t *testing.T) {
	items, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := Validate(items); err != nil {
		t.Error(err)
	}
	root := graphtest.ModuleRoot(t)
	tests := testFunctions(t, root)
	present := 0
	for _, i := range items {
		if i.Status != Present {
			continue
		}
		present++
		for _, problem := range unsupported(i, root, tests) {
			t.Errorf("%s: %s %q: %s", i.Area, i.Kind, i.Name, problem)
		}
	}
	t.Logf("%d of %d named things are present", present, len(items))
}

// unsupported says which claims of a present item the repository does not bear out.
func unsupported(i Item, root string, tests map[string]bool) []string {
	var out []string
	info, err := os.Stat(filepath.Join(root, filepath.FromSlash(i.File)))
	switch {
	case err != nil || !filepath.IsLocal(i.File):
		out = append(out, "file "+i.File+" does not exist")
	case info.IsDir():
		out = append(out, i.File+" is a folder; name the file")
	}
	for _, name := range i.Tests {
		dir, test, elsewhere := strings.Cut(name, ".")
		if !elsewhere {
			dir, test = path.Dir(i.File), name
		}
		if !tests[dir+"."+test] {
			out = append(out, "there is no test "+test+" in "+dir)
		}
	}
	return out
}

// testFunctions collects all test, fuzz and example functions below root, as folder.Name.
func testFunctions(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // another process is writing
		case err != nil:
			return err
		case e.IsDir():
			if n := e.Name(); name != root && (strings.HasPrefix(n, ".") || n == "testdata" || n == "runs" || n == "stores") {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				for _, prefix := range []string{"Test", "Fuzz", "Example"} {
					if strings.HasPrefix(f.Name.Name, prefix) {
						names[filepath.ToSlash(dir)+"."+f.Name.Name] = true
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestValidate(t *testing.T) {
	good := Item{Area: "a", Kind: "method", Name: "n", Issue: "issue 3", Status: Present, File: "f.go", Check: []string{"hand"}, Tests: []string{"TestX"}}
	missing := Item{Area: "a", Kind: "method", Name: "n", Issue: "issue 3", Status: Missing}
	for _, i := range []Item{good, missing} {
		if err := Validate([]Item{i}); err != nil {
			t.Error(err)
		}
	}
	for name, tc := range map[string]struct {
		change func(*Item)
		want   string
	}{
		"name":       {func(i *Item) { i.Name = "" }, "no name"},
		"kind":       {func(i *Item) { i.Kind = "thing" }, "kind must be"},
		"issue":      {func(i *Item) { i.Issue = "" }, "where it was named"},
		"status":     {func(i *Item) { i.Status = "" }, "status must be"},
		"file":       {func(i *Item) { i.File = "" }, "without a file"},
		"no check":   {func(i *Item) { i.Check = nil }, "nothing checks it"},
		"no test":    {func(i *Item) { i.Tests = nil }, "nothing checks it"},
		"check":      {func(i *Item) { i.Check = []string{"looked"} }, `check "looked"`},
		"half state": {func(i *Item) { i.Status = Missing }, "set status: present"},
	} {
		i := good
		tc.change(&i)
		if err := Validate([]Item{i}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Validate([]Item{good, missing}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("twice: %v", err)
	}
}

func TestUnsupported(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "f.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{"..TestX": true, "sub.TestZ": true}
	for _, tc := range []struct {
		file, test string
		want       int
	}{{"f.go", "TestX", 0}, {"g.go", "TestX", 1}, {"f.go", "TestY", 1}, {".", "TestY", 2}, {"f.go", "sub.TestZ", 0}, {"f.go", "sub.TestX", 1}} {
		if got := unsupported(Item{File: tc.file, Tests: []string{tc.test}}, root, tests); len(got) != tc.want {
			t.Errorf("%s, %s: %q", tc.file, tc.test, got)
		}
	}
}

func TestLoad(t *testing.T) {
	for name, tc := range map[string]struct{ file, text, want string }{
		"unknown field": {"data/a.yaml", "area: a\nitems:\n- {kind: method, name: n, isue: x, status: missing}\n", "isue"},
		"wrong area":    {"data/a.yaml", "area: b\n", `"b"`},
		"no yaml":       {"data/a.yaml", "{", "data/a.yaml"},
	} {
		_, err := load(fstest.MapFS{tc.file: {Data: []byte(tc.text)}})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSelect(t *testing.T) {
	items := []Item{
		{Area: "sae", Kind: "method", Name: "TopK", Status: Present},
		{Area: "sae", Kind: "format", Name: "SAELens", Status: Missing},
		{Area: "stats", Kind: "method", Name: "Holm", Status: Missing},
	}
	names := func(items []Item) string {
		var out []string
		for _, i := range items {
			out = append(out, i.Name)
		}
		return strings.Join(out, " ")
	}
	for sel, want := range map[string]string{"sae": "TopK SAELens", "methods": "TopK Holm", "format": "SAELens", "nothing": ""} {
		if got := names(Select(items, sel)); got != want {
			t.Errorf("Select(%s) = %q, want %q", sel, got, want)
		}
	}
	if got := names(OnlyMissing(items)); got != "SAELens Holm" {
		t.Errorf("missing: %q", got)
	}
	if got := Areas(items); !slices.Equal(got, []string{"sae", "stats"}) {
		t.Errorf("areas: %q", got)
	}
}
