package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"loupe/internal/inventory"
)

// list runs `loupe list ARGS`.
func list(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out, errw bytes.Buffer
	code := run(t.Context(), append([]string{"list"}, args...), &out, &errw)
	return out.String() + errw.String(), code
}

func listJSON(t *testing.T, args ...string) []inventory.Item {
	t.Helper()
	out, code := list(t, append(args, "--json")...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	var items []inventory.Item
	if err := json.Unmarshal([]byte(out), &items); err != nil {
		t.Fatal(err)
	}
	return items
}

// TestInventory: everything that the work has named (testdata/named.txt: area, kind, name; lines are added, never
// taken away) is in `loupe list --json`, present or missing.
func TestInventory(t *testing.T) {
	named, err := os.ReadFile("testdata/named.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, i := range listJSON(t) {
		listed[i.Area+"\t"+i.Kind+"\t"+i.Name] = true
	}
	lines := strings.Split(strings.TrimSpace(string(named)), "\n")
	for _, line := range lines {
		if !listed[line] {
			t.Errorf("named, but not listed: %q", line)
		}
	}
	if len(lines) < 762 {
		t.Errorf("testdata/named.txt has only %d lines", len(lines))
	}
}

// TestInventoryCommands: the program has every command that the list calls present. One that it has and the list calls
// missing is logged: it still lacks its check.
func TestInventoryCommands(t *testing.T) {
	root := newRootCmd(&app{})
	for _, i := range listJSON(t, "commands") {
		if i.Name == "loupe list experiments" { // an argument, not a command
			continue
		}
		_, rest, err := root.Find(strings.Fields(i.Name)[1:])
		switch exists := err == nil && len(rest) == 0; {
		case i.Status == inventory.Present && !exists:
			t.Errorf("%s is called present, but the program does not have it", i.Name)
		case i.Status == inventory.Missing && exists:
			t.Logf("%s exists; give it a test and change its line in internal/inventory/data/commands.yaml", i.Name)
		}
	}
}

func TestList(t *testing.T) {
	all := listJSON(t)
	missing := listJSON(t, "--missing")
	if len(missing) == 0 || len(missing) >= len(all) {
		t.Errorf("%d missing of %d", len(missing), len(all))
	}
	for _, i := range missing {
		if i.Status != inventory.Missing {
			t.Errorf("--missing lists %s, which is %s", i.Name, i.Status)
		}
	}
	for _, i := range listJSON(t, "sae") {
		if i.Area != "sae" {
			t.Errorf("list sae lists %s of %s", i.Name, i.Area)
		}
	}
	if out, code := list(t, "stats"); code != 0 || !strings.Contains(out, "Hedges g") || !strings.Contains(out, "are present") {
		t.Errorf("list stats: %d\n%s", code, out)
	}
	if out, code := list(t, "sate"); code != 2 || !strings.Contains(out, "did you mean") {
		t.Errorf("list sate: %d\n%s", code, out)
	}
	if _, code := list(t, "a", "b"); code != 2 {
		t.Errorf("two areas: exit code %d", code)
	}
}
