package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runStore runs `loupe store args...` and returns its exit code, standard output and standard error.
func runStore(args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	code := run(context.Background(), append([]string{"store"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// importedStore makes a store from the cache that SAELens wrote (see its script in probe/store/testdata).
func importedStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "s")
	code, out, errs := runStore("import", "../../probe/store/testdata/saelens", dir, "--model", "tiny")
	if code != 0 || !strings.Contains(out, "imported 96 rows of blocks.1.hook_resid_pre") {
		t.Fatalf("import: %d %s%s", code, out, errs)
	}
	return dir
}

func TestStoreCommands(t *testing.T) {
	dir := importedStore(t)
	export := filepath.Join(t.TempDir(), "x")
	for _, c := range []struct {
		args []string
		code int
		out  []string
		err  string
	}{
		{[]string{"info", dir}, 0, []string{"(complete)", "tiny", "96 tokens, 0 examples, 12 documents", "blocks.1.hook_resid_pre", "float32"}, ""},
		{[]string{"verify", dir}, 0, []string{"is whole: 96 token rows"}, ""},
		{[]string{"sample", dir, "-n", "3"}, 0, []string{"ROW", "blocks.1.hook_resid_pre", "..."}, ""},
		{[]string{"export", dir, export, "--format", "npy"}, 0, []string{"wrote 96 rows as npy"}, ""},
		{[]string{"export", dir, export, "--format", "npy"}, 1, nil, "already there"},
		{[]string{"export", dir, export + "2", "--format", "csv"}, 2, nil, "parquet, npy or safetensors"},
		{[]string{"export", dir, export + "2", "--site", "x"}, 1, nil, `no site "x"; it has [blocks.1.hook_resid_pre]`},
		{[]string{"sample", dir, "--site", "x"}, 1, nil, "no site"},
		{[]string{"sample", dir, "-n", "0"}, 2, nil, "at least one row"},
		{[]string{"import", "../../probe/store/testdata/saelens", dir}, 1, nil, "not empty"},
		{[]string{"info", t.TempDir()}, 1, nil, "no store here"},
		{[]string{"info"}, 2, nil, "usage"},
	} {
		code, out, errs := runStore(c.args...)
		if code != c.code || !strings.Contains(errs, c.err) {
			t.Errorf("%v: exit code %d, want %d; %s", c.args, code, c.code, errs)
		}
		for _, text := range c.out {
			if !strings.Contains(out, text) {
				t.Errorf("%v: %q is not in\n%s", c.args, text, out)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(export, "blocks.1.hook_resid_pre.npy")); err != nil {
		t.Error(err)
	}
}

func TestStoreJSON(t *testing.T) {
	dir := importedStore(t)
	for _, args := range [][]string{{"info", dir}, {"verify", dir}, {"sample", dir}} {
		code, out, errs := runStore(append(args, "--json")...)
		var v map[string]any
		if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil {
			t.Errorf("%v: %d, %v, %s", args, code, err, errs)
		}
		switch args[0] {
		case "info":
			if v["rows"] != 96.0 || v["complete"] != true || v["bytes"].(float64) < 96*6*4 {
				t.Errorf("info: %v", v)
			}
		case "sample":
			rows := v["rows"].([]any)
			if len(rows) != 10 || len(rows[0].(map[string]any)["values"].([]any)) != 6 {
				t.Errorf("sample: %v", v)
			}
		}
	}
}

// TestStoreVerifyNamesTheShard flips one bit in the middle of a shard.
func TestStoreVerifyNamesTheShard(t *testing.T) {
	dir := importedStore(t)
	path := filepath.Join(dir, "token", "00000.arrow")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runStore("verify", dir)
	if code != 1 || !strings.Contains(errs, "token/00000.arrow is damaged") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
