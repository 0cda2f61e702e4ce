package main

import (
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// TestEraseAttack: an erasure and a saved edit are attacked beside doing nothing, and wrong uses say what to do.
func TestEraseAttack(t *testing.T) {
	graphtest.Model(t, "minilm")
	runs, edit := filepath.Join(t.TempDir(), "runs"), filepath.Join(t.TempDir(), "uce-dog")
	set := func(list ...string) []string {
		args := []string{"erase", "attack", "--runs", runs}
		for _, s := range append([]string{"prompts=2", "task.benign=16", "task.held_out=8"}, list...) {
			args = append(args, "--set", s)
		}
		return args
	}
	if code, got, errs := runCLI(t, append(set(), "--dry-run")...); code != 0 || !strings.Contains(got, "uce: erase dog from minilm") {
		t.Fatalf("exit code %d: %s%s", code, got, errs)
	}
	fit := []string{"erase", "fit", filepath.Join(graphtest.ModuleRoot(t), "experiments", "erase.yaml"), "--method", "uce", "--out", edit, "--set", "task.erase=[dog]", "--set", "generated=0", "--set", "together=[]"}
	if code, _, errs := runCLI(t, fit...); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	code, got, errs := runCLI(t, set("edits=["+edit+"]", "attacks=[{name: inverse}, {name: random-tokens}]")...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"nothing", "uce-dog", "inverse", "E^-1 of the prompt's states", "adaptive"} {
		if !strings.Contains(got, want) {
			t.Errorf("the summary lacks %q:\n%s", want, got)
		}
	}
	for want, args := range map[string][]string{
		`did you mean "p4d"`:          set("attacks=[{name: p4}]"),
		"tokens is 0":                 set("attacks=[{name: p4d, settings: [tokens=0]}]"),
		"modes has \"clever\"":        set("modes=[clever]"),
		"task.erase is empty":         set("task.erase=[]"),
		"--runs A B":                  nil,
		"attacked 2 times":            set("methods=[{name: uce}, {name: uce}]"),
		"has no edit.json":            set("methods=[]", "edits=["+filepath.Join(runs, "none")+"]"),
		"listed twice":                set("attacks=[{name: p4d}, {name: p4d}]"),
		"list at least one of each":   set("modes=[]"),
		"numbers from 0 on":           set("prompts=-1"),
		"concept \"unicorn\" is":      set("task.erase=[unicorn]"),
		"methods.0: method: \"none\"": set("methods=[{name: none}]"),
	} {
		if args == nil {
			want, args = "2 configurations", []string{"erase", "attack", "a.yaml", "b.yaml"}
		}
		if code, got, errs := runCLI(t, args...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d, wanted %q: %s%s", args, code, want, got, errs)
		}
	}
}
