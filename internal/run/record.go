package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Format is the version of the folder's layout, in run.json.
const Format = 1

// Ref names something that a run read: another run, a store, a model.
type Ref struct {
	Kind   string `json:"kind"` // run, store, model, corpus, ...
	Name   string `json:"name"`
	Digest string `json:"digest"` // SHA-256, hex
}

// Output is a file that a run made.
type Output struct {
	Path   string `json:"path"` // within the folder, with slashes
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"` // SHA-256, hex
}

// Record is run.json. It holds neither times nor hosts.
type Record struct {
	Format     int      `json:"format"`
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Command    []string `json:"command"`
	Seed       uint64   `json:"seed"`
	ConfigHash string   `json:"config_hash"`
	Parents    []Ref    `json:"parents"`
	Outputs    []Output `json:"outputs"` // filled when the run is done
}

// Env is what the caller knows of the environment; the rest of env.json is found here.
type Env struct {
	Loupe   string            `json:"loupe"` // version of the program
	Commit  string            `json:"commit,omitempty"`
	Backend string            `json:"backend,omitempty"`
	Plugin  string            `json:"plugin,omitempty"` // accelerator plugin and its version or digest
	Modules map[string]string `json:"modules,omitempty"`
}

// session is one process's work on the run.
type session struct {
	Host    string     `json:"host"`
	PID     int        `json:"pid"`
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"` // absent after a kill
	Env
	Go           string `json:"go"`
	OS           string `json:"os"`
	Arch         string `json:"arch"`
	CPUs         int    `json:"cpus"`
	GOEXPERIMENT string `json:"goexperiment,omitempty"`
}

// environment is env.json: one entry per process that worked on the run, the last one last.
type environment struct {
	Sessions []session `json:"sessions"`
}

func newSession(e Env) (session, error) {
	host, err := os.Hostname()
	if err != nil {
		return session{}, fmt.Errorf("run: host name: %w", err)
	}
	s := session{
		Env: e, Host: host, PID: os.Getpid(), Started: time.Now().UTC().Truncate(time.Second),
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
	}
	// runtime.Version is "go1.x-X:simd" or "go1.x X:simd" in a build with experiments.
	if v, x, ok := strings.Cut(s.Go, "X:"); ok {
		s.Go, s.GOEXPERIMENT = strings.TrimRight(v, " -"), x
	}
	return s, nil
}

// Status is the content of STATUS, or [Killed].
type Status string

// The states of a run.
const (
	Running Status = "running"
	Done    Status = "done"
	Failed  Status = "failed"
	Killed  Status = "killed" // STATUS says running, but no process is at work
)

// Info is what a run folder says of itself.
type Info struct {
	Path   string
	Status Status
	Record Record
	Holder Holder // zero when the run is done
}

// Read looks at a run folder without touching it.
func Read(path string) (Info, error) {
	i := Info{Path: path}
	text, err := os.ReadFile(filepath.Join(path, "STATUS"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		text = []byte(Running) // killed while it was being made, or being made now
	case err != nil:
		return i, fmt.Errorf("run: read %s: %w", path, err)
	}
	i.Status = Status(strings.TrimSpace(string(text)))
	if i.Status != Running && i.Status != Done && i.Status != Failed {
		return i, fmt.Errorf("run: %s: STATUS is %q, not running, done or failed", path, i.Status)
	}
	if err := readJSON(filepath.Join(path, "run.json"), &i.Record); err != nil {
		return i, err
	}
	if i.Record.Format != Format {
		return i, fmt.Errorf("run: %s has format %d, this program reads %d; use the version that wrote it", path, i.Record.Format, Format)
	}
	if i.Status == Done {
		return i, nil
	}
	var going bool
	if i.Holder, going, err = alive(path); err != nil {
		return i, err
	}
	if i.Status == Running && !going {
		i.Status = Killed
	}
	return i, nil
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("run: %s: %w", path, err)
	}
	return nil
}

// jsonWriter returns a function that writes v as indented JSON.
func jsonWriter(v any) func(io.Writer) error {
	return func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
}
