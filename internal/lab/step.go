package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"loupe/internal/run"
)

// Step reads a finished step's result back from steps/<name>.json of the run folder, or computes it and keeps it there.
func Step[T any](dir *run.Dir, name string, do func() (T, error)) (T, error) {
	var out T
	rel := "steps/" + name + ".json"
	raw, err := os.ReadFile(dir.File(rel))
	switch {
	case err == nil:
		if err := json.Unmarshal(raw, &out); err != nil {
			return out, fmt.Errorf("lab: %s: %w; delete the file to do the step again", dir.File(rel), err)
		}
		return out, nil
	case !errors.Is(err, fs.ErrNotExist):
		return out, fmt.Errorf("lab: %w", err)
	}
	if out, err = do(); err != nil {
		return out, err
	}
	return out, dir.Write(rel, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	})
}
