package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// Curve reads one metric of a metrics.jsonl against its tokens, a value a line; lines without the metric are left out.
func Curve(path, name string) (tokens, values []float64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("lab: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var m map[string]float64
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, nil, fmt.Errorf("lab: %s: %w", path, err)
		}
		if v, ok := m[name]; ok {
			tokens, values = append(tokens, m["tokens"]), append(values, v)
		}
	}
	return tokens, values, lines.Err()
}
