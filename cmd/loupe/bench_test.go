package main

import (
	"strings"
	"testing"
)

// TestBenchCommand: every kind lists its cases by the ids that --cases takes; wrong use is told apart from a failure.
func TestBenchCommand(t *testing.T) {
	for _, k := range benchKinds() {
		code, out, errw := loupeOn(t, "bench", k.Name, "--list", "--smollm2-gguf", "x.gguf", "--minilm-dir", "x")
		if code != 0 || !strings.HasPrefix(out, "loupe") || !strings.Contains(out, "=") {
			t.Errorf("%s: exit code %d\n%s%s", k.Name, code, out, errw)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"bench", "speed"}, "unknown benchmark"},
		{[]string{"bench", "vectors", "--threads", "0"}, "--threads"},
		{[]string{"bench", "vectors", "--python", "python3"}, "go together"},
	} {
		if code, _, errw := loupeOn(t, c.args...); code != 2 || !strings.Contains(errw, c.want) {
			t.Errorf("%v: exit code %d, %q", c.args, code, errw)
		}
	}
}
