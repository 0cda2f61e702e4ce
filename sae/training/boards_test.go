package training

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/run"
	"loupe/internal/tensorboard"
)

// TestBoards writes metrics and event files side by side, opens the files anew over the metrics, as a resumed run does, and
// wants the same bytes.
func TestBoards(t *testing.T) {
	dir, err := run.Create(run.Spec{Root: t.TempDir(), Name: "b", Kind: Kind, ConfigHash: strings.Repeat("a", 64), Log: slog.DiscardHandler})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"one", "two"}
	b, err := openBoards(dir, names)
	if err != nil {
		t.Fatal(err)
	}
	for step := range int64(50) {
		for i, name := range names {
			values := map[string]float64{"fvu": 1 / float64(step+int64(i)+3), "l0": float64(step) * 1e-7}
			if err := dir.MetricsOf(step, "sae", name, values); err != nil {
				t.Fatal(err)
			}
			if err := b.add(name, step, values); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	read := func() (all [][]byte) {
		for _, name := range names {
			raw, err := os.ReadFile(filepath.Join(dir.File("tensorboard", name), tensorboard.FileName))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, raw)
		}
		return all
	}
	want := read()
	if bytes.Equal(want[0], want[1]) || len(want[0]) < 50*40 {
		t.Fatalf("%d and %d bytes, equal or too few", len(want[0]), len(want[1]))
	}
	if b, err = openBoards(dir, names); err != nil {
		t.Fatal(err)
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	for i, got := range read() {
		if !bytes.Equal(got, want[i]) {
			t.Errorf("%s: opened anew the file has other bytes", names[i])
		}
	}
	if _, err := openBoards(dir, names[:1]); err == nil || !strings.Contains(err.Error(), `SAE "two"`) {
		t.Errorf("a line of another SAE: %v", err)
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
}
