package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"loupe/internal/run"
)

// StepTime is how long a step took, in all processes that came to its end; what a killed process spent on a step that it
// did not finish is not in it.
type StepTime struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
	Reused  bool    `json:"reused,omitempty"` // another run had done it
}

// Clock notes how long each step takes, in the run's log, and for the summary.
type Clock struct {
	Times   []StepTime
	last    time.Time
	log     *slog.Logger
	earlier map[string]float64 // seconds of the processes before this one
}

// stepDone is the message of a finished step in log.jsonl.
const stepDone = "step done"

// NewClock starts a clock in a run folder.
func NewClock(dir *run.Dir) (*Clock, error) {
	c := &Clock{last: time.Now(), log: dir.Log(), earlier: map[string]float64{}}
	f, err := os.Open(dir.File("log.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l struct {
			Msg     string
			Step    string
			Seconds float64
		}
		// A line that a killed process left unfinished is no time.
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Msg == stepDone {
			c.earlier[l.Step] += l.Seconds
		}
	}
	return c, lines.Err()
}

// Done ends a step and begins the next.
func (c *Clock) Done(name string, reused bool) {
	now := time.Now()
	took := now.Sub(c.last).Seconds()
	before, again := c.earlier[name]
	c.Times = append(c.Times, StepTime{Step: name, Seconds: before + took, Reused: reused && !again})
	c.last = now
	c.log.Info(stepDone, "step", name, "seconds", took, "reused", reused)
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
