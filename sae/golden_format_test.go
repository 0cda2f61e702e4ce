package sae

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// compareOutputs holds the SAE's latents and reconstructions, on the host and on the backend, against the case's.
func (c *goldenCase) compareOutputs(t *testing.T, name string, s *SAE) (recon []float32) {
	t.Helper()
	x := c.f32(t, "x")
	run, err := NewRunner(graphtest.Backend(t), s, 48)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	lat, recon, err := run.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	host, hostRecon, err := s.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	acts, want := c.f32(t, "feature_acts"), c.f32(t, "recon")
	nearly(t, name+" feature_acts", denseLatents(lat, s.DSAE), acts, c.Tolerance.RTol, c.Tolerance.ATol)
	nearly(t, name+" recon", recon, want, c.Tolerance.RTol, c.Tolerance.ATol)
	nearly(t, name+" feature_acts on the host", denseLatents(host, s.DSAE), acts, c.Tolerance.RTol, c.Tolerance.ATol)
	nearly(t, name+" recon on the host", hostRecon, want, c.Tolerance.RTol, c.Tolerance.ATol)
	return recon
}

// rewrite writes s in a format, reads it and compares it with the case.
func (c *goldenCase) rewrite(t *testing.T, s *SAE, format string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), format)
	notes, err := s.Write(dir, format)
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) > 0 && format != FormatSAELens {
		t.Errorf("written as %s: %v", format, notes)
	}
	again, got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got != format {
		t.Errorf("what was written as %s is read as %s", format, got)
	}
	c.compareOutputs(t, "written as "+format, again)
	return dir
}

// sameJSON compares two JSON files as values.
func sameJSON(t *testing.T, a, b string) {
	t.Helper()
	one, err := readConfig(a)
	if err != nil {
		t.Fatal(err)
	}
	two, err := readConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(one)
	y, _ := json.Marshal(two)
	if !bytes.Equal(x, y) {
		t.Errorf("%s is %s, want %s", b, y, x)
	}
}

// runSparsifyDir reads a folder that sparsify wrote, compares activations and reconstructions, and writes it again, directly
// and through SAELens's format, to the same bytes.
func (c *goldenCase) runSparsifyDir(t *testing.T) {
	path := c.path
	s, format, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if format != FormatSparsify {
		t.Errorf("format is %s", format)
	}
	recon := c.compareOutputs(t, "read", s)
	target := c.f32(t, "x")
	if s.Transcoder() {
		target = c.f32(t, "y")
	}
	near(t, "fvu", fvuOf(target, recon, s.Width()), c.number(t, "fvu"), c.Tolerance.RTol)

	dir := c.rewrite(t, s, FormatSparsify)
	sameJSON(t, filepath.Join(path, configFile), filepath.Join(dir, configFile))
	sameTensors(t, filepath.Join(path, sparsifyWeights), filepath.Join(dir, sparsifyWeights))

	// through SAELens's format and back
	saelens := c.rewrite(t, s, FormatSAELens)
	if s, _, err = Read(saelens); err != nil {
		t.Fatal(err)
	}
	dir = c.rewrite(t, s, FormatSparsify)
	sameJSON(t, filepath.Join(path, configFile), filepath.Join(dir, configFile))
	sameTensors(t, filepath.Join(path, sparsifyWeights), filepath.Join(dir, sparsifyWeights))
}

// fvuOf is the share of the variance of y that yHat, both [n, d], leaves unexplained.
func fvuOf(y, yHat []float32, d int) float64 {
	n := len(y) / d
	mean := make([]float64, d)
	for i, v := range y {
		mean[i%d] += float64(v) / float64(n)
	}
	var miss, total float64
	for i, v := range y {
		e, v := float64(v)-float64(yHat[i]), float64(v)-mean[i%d]
		miss, total = miss+e*e, total+v*v
	}
	return miss / total
}

// sameTensors compares two safetensors files tensor by tensor, bytes included.
func sameTensors(t *testing.T, a, b string) {
	t.Helper()
	one, err := safetensors.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := safetensors.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if !slices.Equal(one.Names(), two.Names()) {
		t.Errorf("%s has %v, want %v", b, two.Names(), one.Names())
		return
	}
	for _, name := range one.Names() {
		x, err := one.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		y, err := two.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s: the bytes of %s differ", b, name)
		}
	}
}

// runDictionaryLearningDir does the same for a folder that dictionary_learning wrote; the pickle's bytes are those of the case.
func (c *goldenCase) runDictionaryLearningDir(t *testing.T) {
	dir := filepath.Join(c.path, "trainer_0")
	original := torchState(t, filepath.Join(dir, dictionaryWeights))
	for name, tensor := range original {
		want, err := c.file.Bytes("state." + name)
		if err != nil {
			t.Fatal(err)
		}
		c.seen["state."+name] = true
		if !bytes.Equal(tensor.Bytes(), want) {
			t.Errorf("the bytes of %s differ from the case's", name)
		}
	}
	s, format, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if format != FormatDictionaryLearning {
		t.Errorf("format is %s", format)
	}
	c.compareOutputs(t, "read", s)
	if c.has("feature_acts_no_threshold") {
		c.checkWithoutThreshold(t, s)
	}
	for range 2 { // directly, and through SAELens's format
		again := c.rewrite(t, s, FormatDictionaryLearning)
		sameJSON(t, filepath.Join(dir, dictionaryConfig), filepath.Join(again, dictionaryConfig))
		got := torchState(t, filepath.Join(again, dictionaryWeights))
		if len(got) != len(original) {
			t.Errorf("%d tensors were written, want %d", len(got), len(original))
		}
		for name, want := range original {
			if g := got[name]; g == nil || g.DType != want.DType || !slices.Equal(g.Shape, want.Shape) || !bytes.Equal(g.Bytes(), want.Bytes()) {
				t.Errorf("%s was written as %+v", name, g)
			}
		}
		if s, _, err = Read(c.rewrite(t, s, FormatSAELens)); err != nil {
			t.Fatal(err)
		}
	}
}

// torchState returns the tensors of a state_dict; the file stays open until the test ends.
func torchState(t *testing.T, path string) map[string]*torchzip.Tensor {
	t.Helper()
	f, err := torchzip.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	all, err := f.StateDict()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkWithoutThreshold compares what the tool computes with use_threshold=False, from the k that was read: the k
// largest of each row for AutoEncoderTopK, the k * rows largest of the batch for the BatchTopK classes.
func (c *goldenCase) checkWithoutThreshold(t *testing.T, s *SAE) {
	x := c.f32(t, "x")
	extra := s.Metadata[dictionaryKey].(map[string]any)
	k := int(extra["k"].(float64))
	plain := s.clone()
	if s.Arch == ArchJumpReLU {
		plain.Arch, plain.Threshold = ArchStandard, nil
	}
	lat, err := plain.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	acts := denseLatents(lat, s.DSAE)
	if s.Arch == ArchJumpReLU {
		keep := k * len(x) / s.DIn
		if least := slices.Sorted(slices.Values(acts))[len(acts)-keep]; least > 0 {
			for i, v := range acts {
				if v < least {
					acts[i] = 0
				}
			}
		}
	}
	nearly(t, "feature_acts_no_threshold", acts, c.f32(t, "feature_acts_no_threshold"), c.Tolerance.RTol, c.Tolerance.ATol)
	kept := Latents{Start: []int{0}}
	for row := range slices.Chunk(acts, s.DSAE) {
		for i, v := range row {
			if v != 0 {
				kept.Index, kept.Value = append(kept.Index, int32(i)), append(kept.Value, v)
			}
		}
		kept.Start = append(kept.Start, len(kept.Index))
	}
	recon, err := s.Decode(kept)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "recon_no_threshold", recon, c.f32(t, "recon_no_threshold"), c.Tolerance.RTol, c.Tolerance.ATol)
	if names := slices.Sorted(maps.Keys(extra)); !slices.Contains(names, "threshold") {
		t.Errorf("the threshold was not kept: %v", names)
	}
}
