package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"loupe/internal/backend"
	"loupe/internal/graphtest"
	"loupe/probe/capture/capturetest"
	"loupe/probe/text"
)

// childEnv makes the test binary run one real capture: it holds a childTask as JSON.
const childEnv = "LOUPE_TEST_CAPTURE_CHILD"

// childTask says what a child does.
type childTask struct {
	Config   Config
	Resume   bool
	Backend  string
	FileSize uint64 // limit of a file's bytes; 0: none
}

// childReport is what a child prints.
type childReport struct {
	Summary
	Baseline, Peak int64 // resident bytes after the model was loaded, and at most
}

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

func child(encoded string) error {
	var task childTask
	if err := json.Unmarshal([]byte(encoded), &task); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b, err := backend.Open(task.Backend)
	if err != nil {
		return err
	}
	c, err := Open(ctx, b, task.Config, nil)
	if err != nil {
		return err
	}
	if task.FileSize > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: task.FileSize, Max: task.FileSize}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	report := childReport{Baseline: resident()}
	report.Peak = report.Baseline
	done := make(chan struct{})
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			select {
			case <-done:
				return
			default:
				report.Peak = max(report.Peak, resident())
			}
		}
	}()
	report.Summary, err = c.Run(ctx, RunOptions{Resume: task.Resume})
	close(done)
	<-sampled
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

// resident is the process's resident memory in bytes, without the mapped pages of files, which the system takes back
// when it likes.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, all, shared int64
	if _, err := fmt.Sscan(string(b), &size, &all, &shared); err != nil {
		return 0
	}
	return (all - shared) * int64(os.Getpagesize())
}

// childConfig is a capture of a generated corpus by a tiny BERT into many small shards.
func childConfig(t testing.TB, docs, longest int) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Model = capturetest.ModelFolder(t, "bert", 230)
	cfg.Corpus = text.DefaultCorpusConfig(text.KindJSONL)
	cfg.Corpus.Path = filepath.Join(t.TempDir(), "corpus.jsonl")
	cfg.Corpus.LabelFields = []string{"parity"}
	capturetest.WriteCorpus(t, cfg.Corpus.Path, 7, docs, longest, 230)
	cfg.Buckets, cfg.BatchTokens, cfg.Window, cfg.ShardBytes = []int{16, 40}, 640, 6, 150_000
	cfg.Sites = append(sites("blocks.1.hook_resid_post", "blocks.0.hook_mlp_out", "pooler"), SiteConfig{Site: "hook_embed", Reduce: Tokens, DType: "float16"})
	cfg.Store = filepath.Join(t.TempDir(), "store")
	return cfg
}

// childCommand is the test binary as a child with this task.
func childCommand(t testing.TB, task childTask) *exec.Cmd {
	t.Helper()
	graphtest.Backend(t) // skip where it is missing
	if task.Backend = os.Getenv(backend.EnvVar); task.Backend == "" {
		task.Backend = "xla:cpu"
	}
	b, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(b))
	return cmd
}

// runChild runs a child to its end and returns its report.
func runChild(t testing.TB, task childTask) childReport {
	t.Helper()
	out, err := childCommand(t, task).Output()
	if err != nil {
		t.Fatalf("child: %v: %s", err, stderrOf(err))
	}
	var r childReport
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("child printed %q: %v", out, err)
	}
	return r
}

func stderrOf(err error) string {
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // from exec itself
		return string(exit.Stderr)
	}
	return ""
}
