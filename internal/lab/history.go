package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// History is the lines of a metrics.jsonl.
type History []map[string]float64

// ReadHistory reads a metrics.jsonl.
func ReadHistory(path string) (History, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	defer f.Close()
	var h History
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m map[string]float64
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("lab: %s: line %d: %w", path, len(h)+1, err)
		}
		h = append(h, m)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("lab: %s: %w", path, err)
	}
	return h, nil
}

// Curve returns one metric against the tokens; lines without it are left out.
func (h History) Curve(name string) (tokens, values []float64) {
	for _, m := range h {
		if v, ok := m[name]; ok {
			tokens, values = append(tokens, m["tokens"]), append(values, v)
		}
	}
	return tokens, values
}
