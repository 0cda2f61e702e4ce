package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

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

// StepTime is how long a step took in this process.
type StepTime struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
	Reused  bool    `json:"reused,omitempty"` // an earlier run had done it
}

// Clock notes how long each step takes, for the summary and the run's log alone.
type Clock struct {
	Times []StepTime
	last  time.Time
	log   *slog.Logger
}

// NewClock starts a clock.
func NewClock(log *slog.Logger) *Clock { return &Clock{last: time.Now(), log: log} }

// Done ends a step and begins the next.
func (c *Clock) Done(name string, reused bool) {
	now := time.Now()
	c.Times = append(c.Times, StepTime{Step: name, Seconds: now.Sub(c.last).Seconds(), Reused: reused})
	c.last = now
	c.log.Info("step done", "step", name, "seconds", c.Times[len(c.Times)-1].Seconds, "reused", reused)
}

// PrintTimes names the seconds of every step and of all.
func PrintTimes(times []StepTime) string {
	var parts []string
	total := 0.0
	for _, t := range times {
		s := fmt.Sprintf("%s %.1f", t.Step, t.Seconds)
		if t.Reused {
			s += " (reused)"
		}
		parts, total = append(parts, s), total+t.Seconds
	}
	return fmt.Sprintf("%s; in all %.1f", strings.Join(parts, ", "), total)
}
