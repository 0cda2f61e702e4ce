package setup

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// zipFile is one entry of a made wheel.
type zipFile struct {
	name, body string
	mode       fs.FileMode
}

func makeZip(t testing.TB, files ...zipFile) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		if f.mode == 0 {
			f.mode = 0o644
		}
		h.SetMode(f.mode)
		out, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(f.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func sum(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }

func fileOf(body string) File { return File{int64(len(body)), sum([]byte(body))} }

// world is a made package index and a cache folder.
type world struct {
	home       string
	components []Component
	index      map[string][]byte // by requirement
	downloads  atomic.Int32
}

const (
	pluginBody = "plugin bytes"
	modelBody  = "model bytes"
	configBody = "{}"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", t.TempDir())
	plugin := makeZip(t, zipFile{name: "pkg/__init__.py", body: "x"}, zipFile{name: "pkg/plugin.so", body: pluginBody, mode: 0o755})
	model := makeZip(t, zipFile{name: "m/model/config.json", body: configBody}, zipFile{name: "m/model/sub/w.bin", body: modelBody}, zipFile{name: "m/other", body: "no"})
	return &world{
		home: filepath.Join(t.TempDir(), "home"),
		components: []Component{
			{
				Name: "plugin-cpu", Device: "cpu", To: "plugins/plugin.so",
				Wheels: []Wheel{{Package: "p", Version: "1", SHA256: sum(plugin), Size: int64(len(plugin)), Unpacked: 100, From: "pkg/plugin.so"}},
				Files:  map[string]File{"plugins/plugin.so": fileOf(pluginBody)},
			},
			{
				Name: "model", To: "models/m", Folder: true, Links: map[string]string{"link": "sub"},
				Wheels: []Wheel{{Package: "m", Version: "2", SHA256: sum(model), Size: int64(len(model)), Unpacked: 100, From: "m/model/"}},
			},
		},
		index: map[string][]byte{"p==1": plugin, "m==2": model},
	}
}

func (w *world) download(_ context.Context, wheel Wheel, dir string) (string, error) {
	w.downloads.Add(1)
	name := filepath.Join(dir, wheel.Package+".whl")
	return name, os.WriteFile(name, w.index[wheel.String()], 0o644)
}

func (w *world) run(change func(*Options)) ([]Result, error) {
	opt := Options{Home: w.home, Components: w.components, Download: w.download}
	if change != nil {
		change(&opt)
	}
	return Run(context.Background(), opt)
}

// wantInstalled fails unless the cache folder holds exactly the whole components and nothing in tmp/.
func (w *world) wantInstalled(t *testing.T) {
	t.Helper()
	for name, body := range map[string]string{
		"plugins/plugin.so": pluginBody, "models/m/config.json": configBody, "models/m/sub/w.bin": modelBody, "models/m/link/w.bin": modelBody,
	} {
		got, err := os.ReadFile(filepath.Join(w.home, name))
		if err != nil || string(got) != body {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, body)
		}
	}
	if _, err := os.Stat(filepath.Join(w.home, "models/m/other")); err == nil {
		t.Error("a file outside the wanted folder of the wheel was installed")
	}
	if left, err := os.ReadDir(filepath.Join(w.home, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("tmp/ holds %v, %v; want nothing", left, err)
	}
}

func wantActions(t *testing.T, results []Result, want ...Action) {
	t.Helper()
	var got []Action
	for _, r := range results {
		got = append(got, r.Action)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("actions %v, want %v", got, want)
	}
}

func TestRunInstallsOnceThenDoesNothing(t *testing.T) {
	w := newWorld(t)
	results, err := w.run(nil)
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, results, ActionInstall, ActionInstall)
	w.wantInstalled(t)
	if info, err := os.Stat(filepath.Join(w.home, "plugins/plugin.so")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("the plugin's executable bit is lost: %v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(filepath.Join(w.home, manifestName))
	if err != nil {
		t.Fatal(err)
	}
	results, err = w.run(func(o *Options) { o.Offline = true })
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, results, ActionNone, ActionNone)
	after, err := os.ReadFile(filepath.Join(w.home, manifestName))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the second run changed the manifest (%v)", err)
	}
	if n := w.downloads.Load(); n != 2 {
		t.Errorf("%d downloads, want 2", n)
	}
	results, err = w.run(func(o *Options) { o.Force = true })
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, results, ActionInstall, ActionInstall)
	w.wantInstalled(t)
}

func TestRunAdoptsAnUnrecordedCache(t *testing.T) {
	w := newWorld(t)
	w.components = w.components[:1]
	write(t, filepath.Join(w.home, "plugins/plugin.so"), pluginBody)
	results, err := w.run(func(o *Options) { o.Offline = true })
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, results, ActionAdopt)
	if n := w.downloads.Load(); n != 0 {
		t.Errorf("%d downloads, want 0", n)
	}
}

func TestRunMendsDamage(t *testing.T) {
	for name, damage := range map[string]func(home string) error{
		"changed byte": func(home string) error {
			return os.WriteFile(filepath.Join(home, "plugins/plugin.so"), []byte("Plugin bytes"), 0o644)
		},
		"file lost":        func(home string) error { return os.Remove(filepath.Join(home, "models/m/sub/w.bin")) },
		"folder lost":      func(home string) error { return os.RemoveAll(filepath.Join(home, "models")) },
		"manifest garbage": func(home string) error { return os.WriteFile(filepath.Join(home, manifestName), []byte("{"), 0o644) },
		"file for a folder": func(home string) error {
			os.RemoveAll(home + "/models/m")
			return os.WriteFile(home+"/models/m", nil, 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if _, err := w.run(nil); err != nil {
				t.Fatal(err)
			}
			if err := damage(w.home); err != nil {
				t.Fatal(err)
			}
			if _, err := w.run(nil); err != nil {
				t.Fatal(err)
			}
			w.wantInstalled(t)
			status, err := Check(context.Background(), w.home, w.components, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range status {
				if s.State != StateOK {
					t.Errorf("%s is %s after mending: %s", s.Name, s.State, s.Detail)
				}
			}
		})
	}
}

func TestDeepCheckFindsAHiddenChange(t *testing.T) {
	w := newWorld(t)
	if _, err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(w.home, "models/m/sub/w.bin")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("Model bytes"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	for deep, want := range map[bool]State{false: StateOK, true: StateDamaged} {
		status, err := Check(context.Background(), w.home, w.components, deep)
		if err != nil || status[1].State != want {
			t.Errorf("deep %v: %+v, %v; want %s", deep, status[1], err, want)
		}
	}
}

func TestRunFailuresLeaveNothing(t *testing.T) {
	disk := func(context.Context, Wheel, string) (string, error) {
		return "", fmt.Errorf("write: %w", syscall.ENOSPC)
	}
	for _, test := range []struct {
		name   string
		change func(*world, *Options)
		is     error
		want   []string
	}{
		{"offline", func(_ *world, o *Options) { o.Offline = true }, ErrOffline, []string{"plugin-cpu", "model", "loupe setup"}},
		{"truncated wheel", func(w *world, _ *Options) { w.index["p==1"] = w.index["p==1"][:40]; w.index["m==2"] = nil }, ErrDigest, []string{"p==1", "SHA-256", "run it again"}},
		{"full disk", func(_ *world, o *Options) { o.Download = disk }, syscall.ENOSPC, []string{"LOUPE_HOME", "MB"}},
		{"other file inside", func(w *world, _ *Options) {
			w.components[0].Files = map[string]File{"plugins/plugin.so": fileOf("other")}
			w.components = w.components[:1]
		}, ErrDigest, []string{"plugins/plugin.so", "nothing was installed"}},
		{"too large inside", func(w *world, _ *Options) {
			w.components[0].Wheels[0].Unpacked, w.components[1].Wheels[0].Unpacked = 3, 3
		}, ErrUnsafe, []string{"p==1", "3 bytes"}},
		{"no such member", func(w *world, _ *Options) {
			w.components[0].Wheels[0].From = "pkg/gone"
			w.components = w.components[:1]
		}, nil, []string{"pkg/gone"}},
		{"folder not writable", func(w *world, o *Options) { write(t, w.home+"-file", ""); o.Home = w.home + "-file/home" }, nil, []string{"LOUPE_HOME"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.run(func(o *Options) { test.change(w, o); o.Components = w.components })
			if err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("error %v, want %v", err, test.is)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			for _, dir := range []string{"plugins", "models"} {
				if left, _ := os.ReadDir(filepath.Join(w.home, dir)); len(left) != 0 {
					t.Errorf("%s holds %v after the failure", dir, left)
				}
			}
			left, _ := filepath.Glob(filepath.Join(w.home, "tmp", "*-*"))
			if len(left) != 0 {
				t.Errorf("tmp/ holds %v after the failure", left)
			}
		})
	}
}

func TestRunResumesAfterAnInterruption(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	opt := Options{Home: w.home, Components: w.components, Download: func(c context.Context, wheel Wheel, dir string) (string, error) {
		if wheel.Package == "m" {
			cancel()
			return "", c.Err()
		}
		return w.download(c, wheel, dir)
	}}
	if _, err := Run(ctx, opt); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "loupe setup") {
		t.Fatalf("interrupted run: %v", err)
	}
	// What a kill -9 leaves: half-written folders, and a whole wheel that was not unpacked yet.
	write(t, filepath.Join(w.home, "tmp/stage-1/half"), "x")
	write(t, filepath.Join(w.home, "tmp/download-1/m.whl"), "x")
	write(t, filepath.Join(w.home, "tmp", w.components[1].Wheels[0].SHA256+".whl"), string(w.index["m==2"]))
	results, err := w.run(func(o *Options) { o.Offline = true })
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, results, ActionNone, ActionInstall)
	w.wantInstalled(t)
}

func TestRunsDoNotCollide(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = w.run(nil) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	w.wantInstalled(t)
	if n := w.downloads.Load(); n != 2 {
		t.Errorf("%d downloads by 8 runs, want 2", n)
	}
}

func TestRunDryRunWritesNothing(t *testing.T) {
	w := newWorld(t)
	results, err := w.run(func(o *Options) { o.DryRun = true })
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, results, ActionWould, ActionWould)
	if _, err := os.Stat(w.home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dry run made the cache folder (%v)", err)
	}
}

func TestRunTakesAPluginOfGoXLA(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", dir)
	plugin := filepath.Join(dir, "pjrt_c_api_cpu_v9_plugin.so")
	write(t, plugin, "other")
	results, err := w.run(nil)
	if err != nil {
		t.Fatal(err)
	}
	if results[0].State != StateFound || results[0].Path != plugin {
		t.Errorf("got %+v, want the plugin found at %s", results[0], plugin)
	}
	if n := w.downloads.Load(); n != 1 {
		t.Errorf("%d downloads, want only the model's", n)
	}
}

func TestRunTriesGoXLAWhenAsked(t *testing.T) {
	for name, install := range map[string]func(context.Context, string) error{
		"works": func(_ context.Context, dir string) error {
			return os.WriteFile(filepath.Join(dir, "pjrt_c_api_cpu_v9_plugin.so"), []byte("unpinned"), 0o644)
		},
		"fails":          func(context.Context, string) error { return errors.New("no network") },
		"leaves nothing": func(context.Context, string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if _, err := w.run(func(o *Options) { o.GoXLA = install }); err != nil {
				t.Fatal(err)
			}
			want, source := pluginBody, "wheel"
			if name == "works" {
				want, source = "unpinned", "go-xla installer"
			}
			got, err := os.ReadFile(filepath.Join(w.home, "plugins/plugin.so"))
			if err != nil || string(got) != want {
				t.Errorf("plugin holds %q (%v), want %q", got, err, want)
			}
			again, err := w.run(nil)
			if err != nil || again[0].Action != ActionNone || again[0].Source != source {
				t.Errorf("second run: %+v, %v; want nothing done, source %q", again, err, source)
			}
		})
	}
}

func TestRunSkipsWheelsOfOtherPlatforms(t *testing.T) {
	w := newWorld(t)
	w.components[0].Platform = "plan9/mips"
	results, err := w.run(nil)
	if err != nil || results[0].State != StateUnsupported || !strings.Contains(results[0].Note, "go backend") {
		t.Errorf("got %+v, %v", results[0], err)
	}
}

// TestTable checks the pinned table itself: the parts that must agree with each other.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Components() {
		if seen[c.Name] || c.Name == "" || c.About == "" || len(c.Wheels) == 0 {
			t.Errorf("%q: duplicate or incomplete", c.Name)
		}
		seen[c.Name] = true
		var size int64
		for name, f := range c.Files {
			size += f.Size
			if len(f.SHA256) != 64 || c.Folder != strings.HasPrefix(name, c.To+"/") || !c.Folder && name != c.To {
				t.Errorf("%s: file %s does not fit the component", c.Name, name)
			}
		}
		if len(c.Files) > 0 && size != c.unpacked() {
			t.Errorf("%s: files add up to %d bytes, the wheels say %d", c.Name, size, c.unpacked())
		}
		for _, w := range c.Wheels {
			if len(w.SHA256) != 64 || w.Size <= 0 || w.Unpacked <= 0 || c.Folder != strings.HasSuffix(w.From, "/") || strings.ContainsAny(w.Version, "<>~*") {
				t.Errorf("%s: wheel %+v is not pinned whole", c.Name, w)
			}
		}
	}
}

func write(t testing.TB, name, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}
