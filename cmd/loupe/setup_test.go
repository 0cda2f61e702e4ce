package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSetupCommand(t *testing.T) {
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", t.TempDir())
	for _, test := range []struct {
		name string
		args []string
		code int
		out  []string
		errs []string
	}{
		{"dry run", []string{"setup", "--dry-run"}, 0, []string{"plugin-cpu", "would install", "minilm", "smollm2"}, nil},
		{"dry run with cuda", []string{"setup", "--dry-run", "--cuda"}, 0, []string{"plugin-cuda", "cuda-libraries"}, nil},
		{"offline", []string{"setup", "--offline"}, 1, []string{"minilm          missing"}, []string{"minilm", "--offline", "run `loupe setup`"}},
		{"argument", []string{"setup", "now"}, 2, nil, []string{"usage: loupe setup"}},
		{"flag", []string{"setup", "--nope"}, 2, nil, []string{"--help"}},
		{"completion argument", []string{"completion", "csh"}, 2, nil, []string{"bash, zsh, fish or powershell"}},
		{"bash", []string{"completion", "bash"}, 0, []string{"__loupe"}, nil},
		{"zsh", []string{"completion", "zsh"}, 0, []string{"#compdef loupe"}, nil},
		{"fish", []string{"completion", "fish"}, 0, []string{"complete -c loupe"}, nil},
		{"powershell", []string{"completion", "powershell"}, 0, []string{"Register-ArgumentCompleter"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := filepath.Join(t.TempDir(), "home")
			t.Setenv("LOUPE_HOME", home)
			var out, errs bytes.Buffer
			if code := run(context.Background(), test.args, &out, &errs); code != test.code {
				t.Errorf("exit code %d, want %d; stderr: %s", code, test.code, &errs)
			}
			for _, want := range test.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("stdout %q has no %q", &out, want)
				}
			}
			for _, want := range test.errs {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("stderr %q has no %q", &errs, want)
				}
			}
			if left, _ := os.ReadDir(filepath.Join(home, "models")); len(left) > 0 {
				t.Errorf("models/ holds %v", left)
			}
		})
	}
}

func TestSetupCommandPrintsJSON(t *testing.T) {
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", t.TempDir())
	t.Setenv("LOUPE_HOME", t.TempDir())
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"setup", "--dry-run", "--json"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	var got struct {
		OK         bool `json:"ok"`
		Components []struct {
			Name, Action string
			Bytes        int64 `json:"download_bytes"`
		} `json:"components"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !got.OK || len(got.Components) != 3 || got.Components[1].Name != "minilm" || got.Components[1].Action != "would install" || got.Components[1].Bytes < 80e6 {
		t.Errorf("got %+v", got)
	}
}
