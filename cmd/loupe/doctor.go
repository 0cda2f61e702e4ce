package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loupe/internal/backend"
	"loupe/internal/setup"
)

// grade is how serious a finding is.
type grade string

const (
	gradeOK      grade = "ok"
	gradeNote    grade = "note"    // absent, and nothing needs it
	gradeWarning grade = "warning" // loupe works, but less well
	gradeProblem grade = "problem" // something is broken: exit code 1
)

// finding is one line of the doctor's report.
type finding struct {
	Name   string `json:"name"`
	Grade  grade  `json:"grade"`
	Detail string `json:"detail"`
	Cure   string `json:"cure,omitempty"`
}

// diagnosis is what `loupe doctor --json` prints.
type diagnosis struct {
	OK         bool           `json:"ok"`
	Version    version        `json:"version"`
	SIMD       bool           `json:"simd"`
	Home       string         `json:"home"`
	Findings   []finding      `json:"findings"`
	Backends   []probe        `json:"backends"`
	Components []setup.Status `json:"components"`
}

func (d *diagnosis) add(name string, g grade, cure, format string, args ...any) {
	if g == gradeOK {
		cure = ""
	}
	d.Findings = append(d.Findings, finding{name, g, fmt.Sprintf(format, args...), cure})
}

func newDoctorCmd(a *app) *cobra.Command {
	var deep bool
	var name string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what works on this machine and say how to mend what does not",
		Long: `Check the build, every backend (with a real computation, each in a process of its own), the plugin, the default models,
the disk and Python, and print a cure for each problem. Exit code 1 if something required is broken.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name != "" {
				return probeBackend(name, func(p probe) error { return json.NewEncoder(a.out).Encode(p) })
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("doctor: %w", err)
			}
			d, err := diagnose(cmd.Context(), childProber(self), deep)
			if err != nil {
				return err
			}
			if err := a.printDiagnosis(d); err != nil {
				return err
			}
			if !d.OK {
				return errors.New("doctor: something is broken; the cures are above")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "hash every installed file again instead of comparing sizes and times")
	cmd.Flags().StringVar(&name, "probe", "", "probe one backend in this process and print JSON")
	if err := cmd.Flags().MarkHidden("probe"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// diagnose looks at everything. Its error is that of ctx or of a missing cache folder.
func diagnose(ctx context.Context, run prober, deep bool) (*diagnosis, error) {
	home, err := backend.Home()
	if err != nil {
		return nil, err
	}
	d := &diagnosis{Version: buildVersion(), SIMD: builtWithSIMD(), Home: home}
	d.checkBuild()
	if d.Components, err = setup.Check(ctx, home, nil, deep); err != nil {
		return nil, err
	}
	names := []string{"go", "xla:cpu", "xla:cuda"}
	if chosen := os.Getenv(backend.EnvVar); strings.HasPrefix(chosen, "xla:/") {
		names = append(names, chosen)
	}
	gpu := queryGPU(ctx)
	for _, name := range names {
		p := run(ctx, name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		d.Backends = append(d.Backends, p)
		d.checkBackend(p, gpu != "")
	}
	if gpu != "" {
		d.add("GPU memory", gradeOK, "", "%s", gpu)
	}
	complete := d.checkComponents()
	d.checkDisk("cache folder", home)
	if cwd, err := os.Getwd(); err == nil {
		d.checkDisk("working folder", cwd)
	}
	d.checkPython(ctx, complete)
	d.OK = true
	for _, f := range d.Findings {
		d.OK = d.OK && f.Grade != gradeProblem
	}
	return d, nil
}

func (d *diagnosis) checkBuild() {
	d.add("build", gradeOK, "", "loupe %s, %s %s/%s", d.Version.Version, d.Version.Go, d.Version.OS, d.Version.Arch)
	switch {
	case d.SIMD:
		d.add("simd", gradeOK, "", "GOEXPERIMENT=simd")
	case runtime.GOARCH != "amd64":
		d.add("simd", gradeNote, "", "only for amd64")
	default:
		d.add("simd", gradeWarning, "build with `make build`, or set GOEXPERIMENT=simd for go build", "built without GOEXPERIMENT=simd: matrix products of the go backend are about 7 times slower")
	}
}

// builtWithSIMD reads the experiments that this binary was built with.
func builtWithSIMD() bool {
	if strings.Contains(runtime.Version(), "simd") {
		return true
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "GOEXPERIMENT" && strings.Contains(s.Value, "simd") {
			return true
		}
	}
	return false
}

func (d *diagnosis) checkBackend(p probe, gpu bool) {
	name := "backend " + p.Backend
	if p.Working {
		detail := fmt.Sprintf("%dx%d product right; open %.0f ms, first run %.0f ms, then %.2f ms", probeSize, probeSize, p.OpenMS, p.FirstMS, p.RunMS)
		if p.Plugin != "" {
			detail += fmt.Sprintf("; PJRT %s, digest %s, %s", p.API, d.digestOf(p.Plugin), p.Plugin)
		}
		d.add(name, gradeOK, "", "%s", detail)
		return
	}
	switch {
	case p.Backend == "go":
		d.add(name, gradeProblem, "build loupe again with `make build`", "%s", p.Error)
	case p.Backend == "xla:cuda" && p.Plugin != "" && !gpu:
		d.add(name, gradeNote, "", "%s is there, but no GPU answers nvidia-smi", p.Plugin)
	case p.Plugin != "":
		d.add(name, gradeProblem, cureOf(d.Home, p), "%s: %s", p.Plugin, p.Error)
	case d.installed(p.Backend) != "":
		d.add(name, gradeProblem, "remove or replace that file; meanwhile --backend go works", "%s is there, but cannot be loaded: %s", d.installed(p.Backend), p.Error)
	case p.Backend == "xla:cpu" && strings.Contains(p.Error, backend.ErrUnavailable.Error()):
		d.add(name, gradeWarning, "run `loupe setup`", "no plugin; the go backend works without it, about 10 times slower")
	case p.Backend == "xla:cuda" && strings.Contains(p.Error, backend.ErrUnavailable.Error()) && gpu:
		d.add(name, gradeNote, "run `loupe setup --cuda` to use the GPU", "no plugin")
	case p.Backend == "xla:cuda" && strings.Contains(p.Error, backend.ErrUnavailable.Error()):
		d.add(name, gradeNote, "", "no GPU and no plugin here")
	default: // the search for a plugin itself failed
		const cure = "remove the broken pjrt_c_api_*_plugin.so from PJRT_PLUGIN_LIBRARY_PATH, ~/.local/lib/go-xla or /usr/local/lib/go-xla; meanwhile --backend go works"
		d.add(name, gradeProblem, cure, "%s", p.Error)
	}
}

// installed is the path of the plugin that should serve the backend, or "".
func (d *diagnosis) installed(name string) string {
	for _, s := range d.Components {
		if s.Name == "plugin-"+strings.TrimPrefix(name, "xla:") && (s.State == setup.StateOK || s.State == setup.StateFound) {
			return s.Path
		}
	}
	return ""
}

// cureOf says how to mend a plugin that is there but does not work.
func cureOf(home string, p probe) string {
	if strings.Contains(p.Error, "libstdc++") {
		return "install the C++ runtime (Debian and Ubuntu: apt-get install libstdc++6)"
	}
	if p.Backend == "xla:cuda" {
		return "check the driver with nvidia-smi (CUDA 13 needs 580 or newer), then run `loupe setup --cuda --force`"
	}
	if rel, err := filepath.Rel(home, p.Plugin); err == nil && filepath.IsLocal(rel) {
		return "run `loupe setup --force`; meanwhile --backend go works"
	}
	return "remove or replace that file; meanwhile --backend go works"
}

// digestOf says what is known about a plugin's digest.
func (d *diagnosis) digestOf(path string) string {
	for _, s := range d.Components {
		if s.Path == path && s.Digest != "" {
			return s.Digest
		}
	}
	return "unknown"
}

// checkComponents reports on the installed files and tells whether all that are wanted without CUDA are there.
func (d *diagnosis) checkComponents() (complete bool) {
	complete = true
	for _, s := range d.Components {
		detail := s.Path
		if s.Digest != "" {
			detail = fmt.Sprintf("%s, digest %s", s.Path, s.Digest)
		}
		command := "loupe setup"
		if s.CUDA {
			command = "loupe setup --cuda"
		}
		switch s.State {
		case setup.StateOK, setup.StateFound:
			d.add(s.Name, gradeOK, "", "%s", detail)
		case setup.StateDamaged:
			complete = complete && s.CUDA
			d.add(s.Name, gradeProblem, "run `"+command+"`", "%s", s.Detail)
		case setup.StateUnsupported:
			d.add(s.Name, gradeNote, "", "no pinned wheel for %s/%s", runtime.GOOS, runtime.GOARCH)
		case setup.StateMissing:
			if !s.CUDA {
				complete = false
				d.add(s.Name, gradeWarning, "run `"+command+"`", "not installed (%s)", s.About)
			}
		}
	}
	return complete
}

// lowDisk is the free space in bytes below which runs and stores soon fail.
const lowDisk = 2e9

func (d *diagnosis) checkDisk(name, dir string) {
	free, err := setup.FreeSpace(dir)
	switch {
	case err != nil:
		d.add(name, gradeNote, "", "%s: free space unknown: %v", dir, err)
	case free < lowDisk:
		d.add(name, gradeWarning, "free some space, or set LOUPE_HOME and work on another disk", "%s: only %.1f GB free", dir, float64(free)/1e9)
	default:
		d.add(name, gradeOK, "", "%s: %.1f GB free", dir, float64(free)/1e9)
	}
}

func (d *diagnosis) checkPython(ctx context.Context, complete bool) {
	path, pip, err := setup.CheckPython(ctx)
	switch {
	case err == nil:
		d.add("python3", gradeOK, "", "%s, %s", path, pip)
	case complete:
		d.add("python3", gradeNote, "", "%v (not needed: everything is installed)", err)
	default:
		d.add("python3", gradeWarning, "install python3 and pip, then run `loupe setup`", "%v", err)
	}
}

// queryGPU asks the driver for names and memory; "" without a GPU.
func queryGPU(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,memory.total,memory.free,driver_version", "--format=csv,noheader").Output()
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, line := range lines {
		if f := strings.Split(line, ", "); len(f) == 4 {
			lines[i] = fmt.Sprintf("%s: %s, %s free, driver %s", f[0], f[1], f[2], f[3])
		}
	}
	return strings.Join(lines, "; ")
}

func (a *app) printDiagnosis(d *diagnosis) error {
	if a.json {
		return a.printJSON(d)
	}
	for _, f := range d.Findings {
		if _, err := fmt.Fprintf(a.out, "%-8s %-16s %s\n", f.Grade, f.Name, f.Detail); err != nil {
			return err
		}
		if f.Cure != "" {
			if _, err := fmt.Fprintf(a.out, "%8s cure: %s\n", "", f.Cure); err != nil {
				return err
			}
		}
	}
	return nil
}
