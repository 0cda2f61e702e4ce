package main

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

// command runs the program and returns its two outputs and exit code.
func command(t *testing.T, args ...string) (out, errw string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &o, &e)
	return o.String(), e.String(), code
}

func TestVersionCommand(t *testing.T) {
	out, _, code := command(t, "version")
	if code != 0 || !strings.HasPrefix(out, "loupe ") || !strings.Contains(out, runtime.Version()) {
		t.Errorf("version: %d %q", code, out)
	}
	out, _, code = command(t, "version", "--json")
	var v version
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || v.Go != runtime.Version() || v.OS != runtime.GOOS {
		t.Errorf("version --json: %d %v %q", code, err, out)
	}
}

func TestCompletionCommand(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, errw, code := command(t, "completion", shell); code != 0 || !strings.Contains(out, "loupe") {
			t.Errorf("completion %s: %d %q", shell, code, errw)
		}
	}
	if _, errw, code := command(t, "completion", "tcsh"); code != 2 || !strings.Contains(errw, "bash") {
		t.Errorf("completion tcsh: %d %q", code, errw)
	}
}

// TestExitCodes: 0 for success, 1 for failure, 2 for wrong use; errors go to standard error and name a cure.
func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 0, ""},
		{[]string{"--help"}, 0, ""},
		{[]string{"liste"}, 2, "--help"},
		{[]string{"list", "--nope"}, 2, "--help"},
		{[]string{"config", "show"}, 2, "usage"},
		{[]string{"config", "show", "absent.yaml"}, 1, "absent.yaml"},
	} {
		_, errw, code := command(t, tc.args...)
		if code != tc.code || !strings.Contains(errw, tc.want) {
			t.Errorf("%q: exit code %d, want %d: %q", tc.args, code, tc.code, errw)
		}
	}
}
