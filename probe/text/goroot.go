package text

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// goRoot is the corpus of the doc comments of the Go standard library: one document for each package clause and each
// package-level declaration that has one, in the order of the files' paths and of the lines within a file.
//
// Left out: commands, vendored packages, internal packages, test data, tests, generated files, licences, code
// blocks and mark-up, comments of fewer than three words, and repetitions of an earlier comment (declarations that
// are repeated for each operating system).
type goRoot struct{ dir, version string }

// openGoRoot finds the standard library: at dir, else $GOROOT, else where the go command says, else where this
// program was built.
func openGoRoot(dir string) (source, error) {
	if dir == "" {
		dir = findGoRoot()
	}
	if dir == "" {
		return nil, errors.New("text: open goroot corpus: no Go installation found; put go on the PATH, or set path to its GOROOT")
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("text: open goroot corpus: %w; set path to a GOROOT", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "src", "fmt", "doc.go")); err != nil {
		return nil, fmt.Errorf("text: open goroot corpus: %s holds no source of the standard library: %w; set path to a GOROOT that has src", dir, err)
	}
	version := "unknown"
	if b, err := os.ReadFile(filepath.Join(dir, "VERSION")); err == nil {
		version, _, _ = strings.Cut(strings.TrimSpace(string(b)), "\n")
	}
	return goRoot{dir: dir, version: version}, nil
}

func findGoRoot() string {
	if dir := os.Getenv("GOROOT"); dir != "" {
		return dir
	}
	if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil {
		if dir := strings.TrimSpace(string(out)); dir != "" {
			return dir
		}
	}
	return build.Default.GOROOT
}

func (g goRoot) name() string { return KindGoRoot + ":" + g.version }

func (g goRoot) each(ctx context.Context, emit emit) error {
	src := filepath.Join(g.dir, "src")
	seen := map[uint64]bool{}
	err := fs.WalkDir(os.DirFS(src), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if entry.IsDir() {
			if skippedDir(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		code, err := os.ReadFile(filepath.Join(src, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		docs, err := declarations(name, code)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if h := seededHash(0, "goroot", d.Text); seen[h] {
				continue
			} else {
				seen[h] = true
			}
			if !emit(d) {
				return fs.SkipAll
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("text: read the standard library: %w", err)
	}
	return nil
}

func skippedDir(name string) bool {
	switch path.Base(name) {
	case "testdata", "vendor", "internal", "builtin":
		return true
	}
	return name == "cmd"
}
