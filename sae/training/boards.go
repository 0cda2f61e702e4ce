package training

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"loupe/internal/run"
	"loupe/internal/tensorboard"
)

// boards are the TensorBoard event files of a run, one for each SAE. They hold what metrics.jsonl holds: a resumed run writes
// them anew from there, so that they have the bytes of an unbroken run's.
type boards map[string]*tensorboard.Writer // by the SAE's name, "" in a run of one

// openBoards makes the files of the named SAEs and writes to them what the run's metrics hold.
func openBoards(dir *run.Dir, names []string) (boards, error) {
	b := boards{}
	for _, name := range names {
		w, err := tensorboard.Create(dir.File("tensorboard", name))
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		b[name] = w
	}
	if err := b.replay(dir.File("metrics.jsonl")); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// replay writes the lines of a metrics.jsonl.
func (b boards) replay(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("training: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var all map[string]any
		if err := json.Unmarshal(lines.Bytes(), &all); err != nil {
			return fmt.Errorf("training: %s: %w", path, err)
		}
		name, _ := all["sae"].(string)
		step, _ := all["step"].(float64)
		values := map[string]float64{}
		for key, v := range all {
			if x, ok := v.(float64); ok && key != "step" {
				values[key] = x
			}
		}
		if err := b.add(name, int64(step), values); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("training: %s: %w", path, err)
	}
	return nil
}

// add writes the values of an SAE at a step.
func (b boards) add(name string, step int64, values map[string]float64) error {
	w, ok := b[name]
	if !ok {
		return fmt.Errorf("training: metrics.jsonl has a line of SAE %q, which is none of the run; start a new run", name)
	}
	return w.Scalars(step, values)
}

func (b boards) close() error {
	var errs []error
	for _, w := range b {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}
