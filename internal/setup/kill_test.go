package setup

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// killEnv names the cache folder of the child process of TestRunSurvivesKills.
const killEnv = "LOUPE_SETUP_TEST_KILL_HOME"

// killWorld has a slow index and files large enough that a kill can fall into any step.
func killWorld(t *testing.T, home string) (*world, Downloader) {
	w := newWorld(t)
	w.home = home
	slow := func(_ context.Context, wheel Wheel, dir string) (string, error) {
		name := filepath.Join(dir, "x.whl")
		f, err := os.Create(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		for _, b := range w.index[wheel.String()] {
			if _, err := f.Write([]byte{b}); err != nil {
				return "", err
			}
			time.Sleep(50 * time.Microsecond)
		}
		return name, nil
	}
	return w, slow
}

func TestKillChild(t *testing.T) {
	home := os.Getenv(killEnv)
	if home == "" {
		t.Skip("runs only as the child of TestRunSurvivesKills")
	}
	w, slow := killWorld(t, home)
	fmt.Println("begun")
	if _, err := w.run(func(o *Options) { o.Download, o.Force = slow, true }); err != nil {
		t.Fatal(err)
	}
}

// TestRunSurvivesKills kills a forced setup at 20 random moments. After each kill a component is whole or absent, and at the end one
// run brings everything in order.
func TestRunSurvivesKills(t *testing.T) {
	if testing.Short() {
		t.Skip("20 child processes")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	home := filepath.Join(t.TempDir(), "home")
	for range 20 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		cmd.Env = append(os.Environ(), killEnv+"="+home)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("begun"))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rng.IntN(120)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed, or done just before
		for name, want := range map[string]string{"plugins/plugin.so": pluginBody, "models/m/config.json": configBody, "models/m/sub/w.bin": modelBody} {
			got, err := os.ReadFile(filepath.Join(home, name))
			if err == nil && string(got) != want {
				t.Fatalf("after a kill %s holds %q, want %q or nothing", name, got, want)
			}
		}
	}
	w, _ := killWorld(t, home)
	if _, err := w.run(func(o *Options) { o.Force = true }); err != nil {
		t.Fatal(err)
	}
	w.wantInstalled(t)
}
