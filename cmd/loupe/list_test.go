package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/graphtest"
	"loupe/internal/inventory"
	rundir "loupe/internal/run"
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

// TestListExperiments: every expectation is shown beside what the newest run of its configuration gave.
func TestListExperiments(t *testing.T) {
	t.Chdir(graphtest.ModuleRoot(t))
	runs := t.TempDir()
	read := func() map[string]listed {
		out, code := list(t, "experiments", "--json", "--runs", runs)
		var all []listed
		if err := json.Unmarshal([]byte(out), &all); code != 0 || err != nil {
			t.Fatalf("exit code %d, %v\n%s", code, err, out)
		}
		by := map[string]listed{}
		for _, l := range all {
			by[l.Config] = l
		}
		return by
	}
	const path = "experiments/demo/config.yaml"
	before := read()[path]
	if before.Kind != "demo" || before.Run != "" || len(before.Expected) == 0 || before.Expected[0].Got != nil {
		t.Errorf("before a run: %+v", before)
	}
	c, err := config.Load(configKinds(), config.Input{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := c.Hash()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := rundir.Create(rundir.Spec{Root: runs, Name: "demo", Kind: "demo", Config: c.YAML(), ConfigHash: hash})
	if err != nil {
		t.Fatal(err)
	}
	if l := read()[path]; l.Run != "" {
		t.Errorf("a run that is not done is shown: %+v", l)
	}
	got := 0.5
	before.Expected[0].Got, before.Expected[0].Verdict = &got, expect.Missed
	if err := dir.Write(judgedFile, func(w io.Writer) error { return writeJSON(w, before.Expected) }); err != nil {
		t.Fatal(err)
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
	if l := read()[path]; l.Run == "" || *l.Expected[0].Got != got || l.Expected[0].Verdict != expect.Missed {
		t.Errorf("after a run: %+v", l)
	}
	out, code := list(t, "experiments", "--runs", runs)
	if code != 0 || !strings.Contains(out, before.Expected[0].Metric) || !strings.Contains(out, "missed") || !strings.Contains(out, "not run here") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
