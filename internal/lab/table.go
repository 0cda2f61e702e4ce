package lab

import (
	"fmt"
	"os"

	"loupe/internal/arrowio"
	"loupe/internal/run"
	"loupe/internal/stats"
)

// Table builds an Arrow table of a run column by column.
type Table struct{ arrowio.Table }

// Text adds a column of strings.
func (t *Table) Text(name string, x []string) { t.Add(name, 0, x, nil) }

// Float adds a column of numbers.
func (t *Table) Float(name string, x []float64) { t.Add(name, 0, x, nil) }

// Count adds a column of integers.
func (t *Table) Count(name string, x []int64) { t.Add(name, 0, x, nil) }

// Unit adds a column of numbers with a unit.
func (t *Table) Unit(name, unit string, x []float64) {
	t.Add(name, 0, x, map[string]string{"unit": unit})
}

// Interval adds the columns name, name_low and name_high.
func (t *Table) Interval(name string, x []stats.Interval) {
	t.Float(name, Column(x, func(i stats.Interval) float64 { return i.Value }))
	t.Float(name+"_low", Column(x, func(i stats.Interval) float64 { return i.Low }))
	t.Float(name+"_high", Column(x, func(i stats.Interval) float64 { return i.High }))
}

// Write puts the table into the run folder, as tables/<name>.arrow.
func (t *Table) Write(dir *run.Dir, name string) error {
	if err := os.MkdirAll(dir.File("tables"), 0o755); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return arrowio.WriteTable(dir.File("tables", name+".arrow"), t.Table)
}

// Column makes a column of values of rows.
func Column[R, T any](rows []R, of func(R) T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = of(r)
	}
	return out
}
