package token

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSyntheticTokenizers compares with Hugging Face tokenizers on generated tokenizers of every kind and random text of all
// planes (testdata/make_rows.py). LOUPE_TOKEN_ROWS names another folder of that form, for longer runs.
func TestSyntheticTokenizers(t *testing.T) {
	dir := os.Getenv("LOUPE_TOKEN_ROWS")
	if dir == "" {
		dir = filepath.Join("testdata", "synthetic")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rows in %s: %v", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) { checkFile(t, file) })
	}
}
