package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/sae"
	"loupe/sae/training"
)

// TestSAETrainTemporal trains a temporal SAE on the sequences of a store and measures it there; the rows of a store come window
// by window.
func TestSAETrainTemporal(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense program needs XLA's TopK")
	}
	dir, runs := plantedStore(t), t.TempDir()
	path := filepath.Join(t.TempDir(), "sae.yaml")
	text := fmt.Sprintf("kind: sae\nname: planted\nstore: %s\nsite: %s\nsplit: train\neval_split: test\neval_tokens: 1000\narch: temporal\nd_sae: 48\nk: 3\n"+
		"tokens: 11200\nbatch: 112\nlr: 3e-3\ntemporal: {context: 14, heads: 2}\n", dir, testSite)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := loupeOn(t, "--json", "sae", "train", path, "--runs", runs)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var trained training.Report
	if err := json.Unmarshal([]byte(out), &trained); err != nil || len(trained.SAEs) != 1 {
		t.Fatalf("%v in %s", err, out)
	}
	got := trained.SAEs[0]
	if got.Result.Rows != 994 || got.Result.FVU > 1 || got.Result.L0 > 3 || got.Shape.Arch != sae.ArchTemporal {
		t.Errorf("%s: %d rows, FVU %v, L0 %v; want 71 windows of 14 rows, FVU below 1, L0 up to 3", got.Shape.Arch, got.Result.Rows, got.Result.FVU, got.Result.L0)
	}
	s, _, err := sae.Read(got.Path)
	if err != nil || s.Temporal == nil || s.Metadata["context_size"] != float64(14) {
		t.Errorf("the saved SAE: %v, %+v", err, s)
	}

	// eval reads the same sequences and finds the same; what reads rows one by one leaves it out.
	code, out, errs = loupeOn(t, "--json", "sae", "eval", got.Path, dir, "--split", "test", "--tokens", "1000", "--suite", "core,probing")
	if code != 0 {
		t.Fatalf("eval: exit %d: %s", code, errs)
	}
	if own := coreScores(t, out)[got.Path]; own["fvu"] != got.Result.FVU || own["l0"] != got.Result.L0 {
		t.Errorf("eval gives %v; train gave FVU %v, L0 %v", own, got.Result.FVU, got.Result.L0)
	}
	if !strings.Contains(out, "read whole sequences") {
		t.Errorf("probing does not say why it is left out: %s", out)
	}
}
