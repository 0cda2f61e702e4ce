package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/capture"
	"loupe/probe/store"
)

// captureChildEnv makes the test binary run main with the arguments that it holds, one a line.
const captureChildEnv = "LOUPE_TEST_CAPTURE_MAIN"

func TestCaptureChild(t *testing.T) {
	args := os.Getenv(captureChildEnv)
	if args == "" {
		t.Skip("runs only as the child of TestCaptureFileSizeLimit")
	}
	limit := syscall.Rlimit{Cur: 60_000, Max: 60_000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	os.Args = append([]string{"loupe"}, strings.Split(args, "\n")...)
	main()
}

// captureFile writes a configuration that captures generated sentences with MiniLM.
func captureFile(t *testing.T, sentences int) (path, dir string) {
	t.Helper()
	graphtest.Backend(t)
	graphtest.Model(t, "minilm")
	dir = filepath.Join(t.TempDir(), "store")
	path = filepath.Join(t.TempDir(), "capture.yaml")
	text := fmt.Sprintf(`kind: capture
model: minilm
offline: true
corpus: {kind: neutral, neutral_number: %d}
buckets: [32]
max_length: 32
batch_tokens: 512
sites:
  - site: blocks.0.hook_resid_post
store: %s
`, sentences, dir)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

func runCLI(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

func TestCaptureCommand(t *testing.T) {
	path, dir := captureFile(t, 40)
	code, out, errs := runCLI(t, "capture", path, "--dry-run")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"layers 0 to 0 of 6", "40 documents", "(exact)", "blocks.0.hook_resid_post, one [384] of float32 a token", "1 compiles", "tokens/s"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("--dry-run wrote a store: %v", err)
	}
	if code, out, errs = runCLI(t, "capture", path, "--json"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var sum capture.Summary
	if err := json.Unmarshal([]byte(out), &sum); err != nil || sum.Documents != 40 || sum.Rows == 0 || sum.Compiles != 1 || sum.TokensPerSecond <= 0 {
		t.Errorf("summary %+v (%v)", sum, err)
	}
	if !strings.Contains(errs, "msg=capture") || !strings.Contains(errs, "unit=tokens") {
		t.Errorf("no progress on standard error: %s", errs)
	}
	s, err := store.Open(dir, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows() != sum.Rows {
		t.Errorf("%d rows, the summary says %d", s.Rows(), sum.Rows)
	}
	s.Close()
	if code, out, errs = runCLI(t, "capture", path, "--resume"); code != 0 || !strings.Contains(out, "complete already") {
		t.Errorf("resuming a complete store: exit code %d, %s%s", code, out, errs)
	}
}

func TestCaptureErrors(t *testing.T) {
	path, dir := captureFile(t, 4)
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"capture"}, 2, "usage"},
		{[]string{"capture", path, "--dryrun"}, 2, "unknown flag"},
		{[]string{"capture", path, "--set", "sites.0.site=blocks.0.hook_resid_pots"}, 1, "nearest: blocks.0.hook_resid_post"},
		{[]string{"capture", path, "--set", "batch_token=3"}, 1, `did you mean "batch_tokens"?`},
		{[]string{"capture", path, "--set", "overflow=wrap"}, 1, "overflow"},
		{[]string{"capture", path, "--set", "max_length=513", "--set", "buckets=[513]"}, 1, "max_length 513 is more than this bert model's 512 positions"},
		{[]string{"capture", filepath.Join(filepath.Dir(path), "none.yaml")}, 1, "none.yaml"},
	} {
		code, _, errs := runCLI(t, tc.args...)
		if code != tc.code || !strings.Contains(errs, tc.want) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", tc.args, code, tc.code, tc.want, errs)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a failed capture left a store: %v", err)
	}
}

// TestCaptureFileSizeLimit runs main itself under a limit on the size of files, as `ulimit -f` sets it.
func TestCaptureFileSizeLimit(t *testing.T) {
	path, dir := captureFile(t, 40)
	cmd := exec.Command(os.Args[0], "-test.run=^TestCaptureChild$")
	cmd.Env = append(os.Environ(), captureChildEnv+"="+strings.Join([]string{"capture", path}, "\n"))
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
		t.Errorf("exit code %d (%v), want 1", code, err)
	}
	for _, want := range []string{"file too large", "make room on the disk", "--resume"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the error lacks %q:\n%s", want, out)
		}
	}
	if _, err := store.Open(dir, store.OpenOptions{}); err == nil {
		t.Error("the store opens as if it were complete")
	}
}
