package training

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/internal/backend"
	"loupe/internal/config"
	"loupe/internal/graphtest"
	"loupe/internal/progress"
	"loupe/internal/run"
	"loupe/probe/store"
	"loupe/sae"
)

// childEnv makes the test binary run one training: it holds a childTask as JSON.
const childEnv = "LOUPE_TEST_TRAINING_CHILD"

// childTask says what a child does.
type childTask struct{ Config, Runs, Backend string }

func TestMain(m *testing.M) {
	if task := os.Getenv(childEnv); task != "" {
		if err := child(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// steps prints a line for each step.
type steps struct{}

func (steps) Add(int64)   { fmt.Println("step") }
func (steps) Note(string) {}
func (steps) Done()       {}

// child begins or goes on with the run of a configuration.
func child(encoded string) error {
	var task childTask
	if err := json.Unmarshal([]byte(encoded), &task); err != nil {
		return err
	}
	b, err := backend.Open(task.Backend)
	if err != nil {
		return err
	}
	c, err := config.Load(kinds(), config.Input{Path: task.Config})
	if err != nil {
		return err
	}
	cfg := c.Value.(*Config)
	hash, err := c.Hash()
	if err != nil {
		return err
	}
	spec := run.Spec{
		Root: task.Runs, Name: cfg.Name, Kind: Kind, Command: []string{"train"}, Seed: cfg.Seed, Config: c.YAML(), ConfigHash: hash,
		Log: slog.NewTextHandler(os.Stderr, nil),
	}
	job, err := Open(context.Background(), b, cfg, nil)
	if err != nil {
		return err
	}
	path, err := run.Find(spec)
	var dir *run.Dir
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir, err = run.Create(spec)
	case err == nil:
		dir, err = run.Resume(path, spec)
	}
	if err != nil {
		return err
	}
	if _, err := job.Run(context.Background(), dir, RunOptions{Progress: func(int64) progress.Progress { return steps{} }}); err != nil {
		return dir.Fail(err)
	}
	return errors.Join(dir.Finish(), job.Close())
}

// startChild starts a child; its lines come from the scanner.
func startChild(t *testing.T, path, runs string) (*exec.Cmd, *bufio.Scanner, *bytes.Buffer) {
	t.Helper()
	graphtest.Backend(t) // skip where it is missing
	task := childTask{Config: path, Runs: runs, Backend: os.Getenv(backend.EnvVar)}
	if task.Backend == "" {
		task.Backend = "xla:cpu"
	}
	encoded, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	// Most of a child's time is compiling, which without optimisation takes half of it; the bytes are compared with those of
	// children that have the same flags.
	cmd.Env = append(os.Environ(), childEnv+"="+string(encoded), "XLA_FLAGS=--xla_backend_optimization_level=0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out), &errs
}

// finishChild runs a child to its end and returns what it logged.
func finishChild(t *testing.T, path, runs string) string {
	t.Helper()
	cmd, lines, errs := startChild(t, path, runs)
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("child: %v\n%s", err, errs)
	}
	return errs.String()
}

// runFolder is the one run folder below runs.
func runFolder(t *testing.T, runs string) string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(runs, "*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("run folders %v, %v; want one", folders, err)
	}
	return folders[0]
}

// runFiles returns the contents of a run folder without what holds times and hosts.
func runFiles(t *testing.T, runs string) map[string]string {
	t.Helper()
	root := runFolder(t, runs)
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || slices.Contains([]string{"env.json", "log.jsonl", "lock"}, e.Name()) {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		out[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameFiles(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; !ok || g != want[name] {
			t.Errorf("%s is missing or differs from the unbroken run's", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

// pairStore writes a store of 40 documents of 12 rows with two sites of 12 dimensions, b being the magnitude of a.
func pairStore(t *testing.T) string {
	t.Helper()
	const d = 12
	rng := rand.New(rand.NewPCG(3, 4))
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.Create(dir, store.Spec{
		Model: store.Source{ID: "tiny", Digest: "m"}, Corpus: store.Source{ID: "text", Digest: "c"}, Moments: store.MomentOptions{Off: true},
		Sites: []store.Site{
			{Name: "a", Per: store.Token, Shape: []int{d}, DType: store.Float32}, {Name: "b", Per: store.Token, Shape: []int{d}, DType: store.Float32},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for doc := range int64(40) {
		rows := store.Rows{Sites: make([][]float32, 2)}
		for p := range int32(12) {
			rows.Doc, rows.Pos, rows.Token, rows.Special = append(rows.Doc, doc), append(rows.Pos, p), append(rows.Token, p), append(rows.Special, p == 0)
			for range d {
				x := float32(rng.NormFloat64())
				rows.Sites[0], rows.Sites[1] = append(rows.Sites[0], x), append(rows.Sites[1], max(x, -x))
			}
		}
		if err := w.Append(t.Context(), store.Batch{Docs: []store.Doc{{ID: doc, Split: []string{"train", "test"}[doc%2]}}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// architectures is a configuration with an SAE of each of these architectures, on pairStore: 30 steps, a checkpoint at every
// third.
func architectures(t *testing.T, dir string, archs []string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "kind: sae\nname: all\nstore: %s\nd_sae: 20\nk: 3\nbatch: 32\ntokens: 960\ncheckpoint_tokens: 96\ninit_rows: 64\ndead_tokens: 96\n"+
		"aux_k: 4\nlr: 3e-3\neval_tokens: 100\nsplit: train\neval_split: test\ntemporal: {context: 8, heads: 4}\nsaes:\n", dir)
	for _, arch := range archs {
		cfg := sae.DefaultsFor(arch)
		cfg.DSAE, cfg.K, cfg.Batch, cfg.Engine, cfg.Layers = 20, 3, 32, sae.EngineHybrid, 0
		width := 12
		where := "site: a"
		switch {
		case cfg.ReadsMany() && cfg.Transcodes():
			where, width, cfg.Layers = "pairs: [{input: a, target: b}, {input: b, target: a}]", 24, 2
		case cfg.ReadsMany():
			where, width, cfg.Layers = "sites: [a, b]", 24, 2
		case cfg.Transcodes():
			where = "pairs: [{input: a, target: b}]"
		}
		engine := sae.EngineHybrid
		if _, err := cfg.Resolve(width); err != nil {
			engine = sae.EngineDense
		}
		fmt.Fprintf(&b, "- {arch: %s, engine: %s, %s}\n", arch, engine, where)
	}
	path := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKill trains an SAE of every architecture in one run - the temporal one, whose rows come in sequences, in a run of its
// own - kills it with SIGKILL at random moments after random steps, goes on, and wants every file of an unbroken run.
func TestKill(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	rest := slices.DeleteFunc(sae.Trainable(), func(arch string) bool { return arch == sae.ArchTemporal })
	dir := pairStore(t)
	for name, archs := range map[string][]string{"all": rest, "temporal": {sae.ArchTemporal}} {
		t.Run(name, func(t *testing.T) {
			path := architectures(t, dir, archs)
			whole, broken := t.TempDir(), t.TempDir()
			start := time.Now()
			finishChild(t, path, whole)
			t.Logf("unbroken: %v", time.Since(start).Round(time.Millisecond))
			want := runFiles(t, whole)
			saes := map[string]bool{}
			for name := range want {
				if rest, ok := strings.CutPrefix(name, "weights/"); ok {
					saes[strings.Split(rest, "/")[0]] = true
				}
			}
			if len(saes) != len(archs) {
				t.Errorf("%d SAEs of %d architectures", len(saes), len(archs))
			}
			if killed := killAndResume(t, path, broken, 3, 12); killed != 3 {
				t.Errorf("%d kills, want 3", killed)
			}
			sameFiles(t, runFiles(t, broken), want)
		})
	}
}

// killAndResume kills a child up to kills times, each after 1 to most steps and a random moment, then lets one end. It
// returns how many were killed.
func killAndResume(t *testing.T, path, runs string, kills, most int) (killed int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, uint64(kills)))
	for range kills {
		cmd, lines, errs := startChild(t, path, runs)
		for n := 1 + rng.IntN(most); n > 0 && lines.Scan(); n-- {
		}
		time.Sleep(time.Duration(rng.IntN(20_000)) * time.Microsecond)
		_ = cmd.Process.Kill() // it may have ended
		if err := cmd.Wait(); err == nil {
			return killed
		} else if cmd.ProcessState.Exited() { // by itself, with an error
			t.Fatalf("child: %v\n%s", err, errs)
		}
		killed++
	}
	finishChild(t, path, runs)
	return killed
}

// TestKillStream is TestKill for rows that a model computes while they are trained on, in buffers that do not divide into
// batches, over the end of the corpus.
func TestKillStream(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	r := readingOf(t, 40)
	path := filepath.Join(t.TempDir(), "stream.yaml")
	text := fmt.Sprintf("kind: sae\nname: stream\nmodel: %s\ncorpus: {kind: jsonl, path: %s, held_out: 0.3}\nbuckets: [16, 32]\nmax_length: 32\nbatch_tokens: 256\nwindow: 3\n"+
		"buffer: 150\ntensorboard: true\nsplit: train\neval_split: held-out\neval_tokens: 50\nbatch: 32\ntokens: 960\ncheckpoint_tokens: 96\ninit_rows: 200\nd_sae: 48\nk: 4\ndead_tokens: 96\n"+
		"saes:\n- {arch: topk, sites: [%s, %s], seeds: [1, 2], engine: hybrid}\n- {arch: topk_transcoder, pairs: [{input: %s, target: %s}], engine: dense}\n",
		r.Model, r.Corpus.Path, siteA, siteB, siteA, siteB)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, broken := t.TempDir(), t.TempDir()
	finishChild(t, path, whole)
	if killed := killAndResume(t, path, broken, 4, 9); killed != 4 {
		t.Errorf("%d kills, want 4", killed)
	}
	sameFiles(t, runFiles(t, broken), runFiles(t, whole))
}

// TestCorruptCheckpoint harms the newest checkpoint of a killed run in one SAE's file: the one before is used, the bad one is
// named in the log, and the end is that of an unbroken run.
func TestCorruptCheckpoint(t *testing.T) {
	graphtest.Backend(t)
	path := filepath.Join(t.TempDir(), "two.yaml")
	text := fmt.Sprintf("kind: sae\nname: two\nstore: %s\nsites: [a, b]\nd_sae: 20\nk: 3\nbatch: 32\ntokens: 9600\ncheckpoint_tokens: 96\ninit_rows: 64\nengine: hybrid\neval_tokens: 0\ntensorboard: true\nmetrics_every: 7\n", pairStore(t))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, broken := t.TempDir(), t.TempDir()
	finishChild(t, path, whole)
	cmd, lines, _ := startChild(t, path, broken)
	for n := 20; n > 0 && lines.Scan(); n-- {
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	kept, err := filepath.Glob(filepath.Join(runFolder(t, broken), "checkpoints", "0*"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("checkpoints %v, %v; want two", kept, err)
	}
	file := filepath.Join(kept[1], "topk-f20-s0-b", "state.safetensors")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-5] ^= 0x40
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	log := finishChild(t, path, broken)
	if !strings.Contains(log, "corrupt checkpoint left out") || !strings.Contains(log, kept[1]) || !strings.Contains(log, "checkpoint="+kept[0]) {
		t.Errorf("the log names neither the corrupt checkpoint %s nor the one that was used:\n%s", kept[1], log)
	}
	sameFiles(t, runFiles(t, broken), runFiles(t, whole))
}
