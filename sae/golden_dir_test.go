package sae

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loupe/internal/graphtest"
)

// companions are the ends of the names of files that hold the weights before a fold or an export.
var companions = []string{".train_state", ".unfolded"}

// runDir loads a folder that sae-lens wrote and compares activations and reconstructions, on the host and on the
// backend; then it saves and loads it again. Where the case has weights from before a fold or an export, the fold is
// repeated and compared.
func (c *goldenCase) runDir(t *testing.T) {
	s, err := Load(filepath.Join(filepath.Dir(c.path), c.Config.SAEDir))
	if err != nil {
		t.Fatal(err)
	}
	if s.Arch != c.Config.Architecture {
		t.Errorf("architecture is %q, want %q", s.Arch, c.Config.Architecture)
	}
	c.compareDir(t, "loaded", s)
	again := t.TempDir()
	if err := s.Save(again, nil); err != nil {
		t.Fatal(err)
	}
	saved, err := Load(again)
	if err != nil {
		t.Fatal(err)
	}
	arch, err := architectureOf(s.Arch)
	if err != nil {
		t.Fatal(err)
	}
	for i, slot := range arch.tensors(s) { // the bytes are the same, so that the outputs are
		nearly(t, "saved and loaded "+slot.name, *arch.tensors(saved)[i].at, *slot.at, 0, 0)
	}
	if saved.K != s.K || saved.RescaleByDecoder != s.RescaleByDecoder || saved.Width() != s.Width() || saved.HookZ != s.HookZ {
		t.Errorf("saved and loaded: %d %v %d %v", saved.K, saved.RescaleByDecoder, saved.Width(), saved.HookZ)
	}
	for _, suffix := range companions {
		if _, err := os.Stat(c.path + suffix + ".json"); err != nil {
			continue
		}
		before := readGolden(t, c.path+suffix)
		before.open(t)
		c.compareDir(t, "folded"+suffix, c.refold(t, s, before))
		before.checkAllSeen(t)
	}
}

// compareDir compares what s makes of x with the case's expected values.
func (c *goldenCase) compareDir(t *testing.T, name string, s *SAE) {
	t.Helper()
	x, acts, recon := c.f32(t, "x"), c.f32(t, "feature_acts"), c.f32(t, "recon")
	rtol, atol := c.Tolerance.RTol, c.Tolerance.ATol
	check := func(name string, lat Latents, y []float32) {
		t.Helper()
		nearly(t, name+" feature_acts", denseLatents(lat, s.DSAE), acts, rtol, atol)
		nearly(t, name+" recon", y, recon, rtol, atol)
		var active int
		for _, v := range lat.Value {
			if v != 0 {
				active++
			}
		}
		near(t, name+" l0_mean", float64(active)/float64(lat.Rows()), c.number(t, "l0_mean"), 1e-12)
		if len(y) != len(x) || string(c.Scalars["mse_per_token"]) == "null" {
			return
		}
		m := NewMetrics(s.DIn, s.DSAE)
		if err := m.Add(x, y, lat); err != nil {
			t.Fatal(err)
		}
		near(t, name+" mse_per_token", m.Result().MSE, c.number(t, "mse_per_token"), 1e-5)
	}
	if s.Temporal != nil {
		c.compareSequences(t, s, x, check)
		return
	}
	lat, y, err := s.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	check(name+", host:", lat, y)
	if c.Tensors["decode_only"].Shape != nil {
		alone, err := s.Decode(lat)
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, name+" decode_only", alone, c.f32(t, "decode_only"), rtol, atol)
	}
	run, err := NewRunner(graphtest.Backend(t), s, 48)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	lat, y, err = run.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	check(name+", backend:", lat, y)
}

// compareSequences runs a temporal SAE over each sequence of x [n, T, d].
func (c *goldenCase) compareSequences(t *testing.T, s *SAE, x []float32, check func(string, Latents, []float32)) {
	all := Latents{Start: []int{0}}
	var predicted, y []float32
	for seq := range slices.Chunk(x, c.Tensors["x"].Shape[1]*s.DIn) {
		lat, p, out, err := s.Sequence(seq)
		if err != nil {
			t.Fatal(err)
		}
		base := len(all.Index)
		all.Index, all.Value = append(all.Index, lat.Index...), append(all.Value, lat.Value...)
		for _, at := range lat.Start[1:] {
			all.Start = append(all.Start, base+at)
		}
		predicted, y = append(predicted, p...), append(y, out...)
	}
	check("sequences:", all, y)
	nearly(t, "z_pred", predicted, c.f32(t, "z_pred"), c.Tolerance.RTol, c.Tolerance.ATol)
}

// refold repeats the fold or export that made s from the weights before it, and compares the weights and, where the
// case has them, the activations before the fold.
func (c *goldenCase) refold(t *testing.T, s *SAE, before *goldenCase) *SAE {
	raw := s.clone()
	raw.Threshold = nil
	raw.RescaleByDecoder = s.RescaleByDecoder
	arch, err := architectureOf(s.Arch)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range arch.tensors(raw) {
		if before.has(slot.name) {
			*slot.at = before.f32(t, slot.name)
		}
	}
	c.compareUnfolded(t, raw, before)
	threshold, hasThreshold := 0.0, false
	if before.has("topk_threshold") {
		threshold, hasThreshold = before.f64(t, "topk_threshold")[0], true
		raw.Arch = ArchStandard
	}
	if _, ok := before.Scalars["scaling_factor"]; ok {
		near(t, "the case's scaling_factor", c.Config.Scale, before.number(t, "scaling_factor"), 0)
	}
	rescaled := raw.RescaleByDecoder || hasThreshold && (c.Config.Rescale == nil || *c.Config.Rescale)
	if scale := c.Config.Scale; scale > 0 {
		if err := raw.FoldScale(scale); err != nil {
			t.Fatal(err)
		}
		if rescaled {
			threshold /= scale // the scores contain the decoder's norms, which were divided by the scale
		}
	}
	switch {
	case hasThreshold:
		raw.RescaleByDecoder = rescaled
		err = raw.batchTopKToJumpReLU(float32(threshold))
	case c.Config.What == "whiten":
		err = c.foldWhitening(t, raw, before)
	case c.Config.What == "norm" || rescaled:
		err = raw.FoldDecoderNorm()
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, slot := range arch.tensors(s) {
		nearly(t, "folded "+slot.name, *arch.tensors(raw)[i].at, *slot.at, 1e-5, 1e-6)
	}
	return raw
}

// compareUnfolded compares the activations that the weights before the fold give.
func (c *goldenCase) compareUnfolded(t *testing.T, raw *SAE, before *goldenCase) {
	if !before.has("unfolded_feature_acts") {
		return
	}
	want := before.f32(t, "unfolded_feature_acts")
	x := c.f32(t, "x")
	if c.Config.What == "whiten" {
		mean, w, _ := whitening(t, before)
		z := make([]float32, 0, len(x))
		for row := range slices.Chunk(x, raw.DIn) {
			for j := range raw.DIn {
				var sum float64
				for i, v := range row {
					sum += (float64(v) - mean[i]) * w[i*raw.DIn+j]
				}
				z = append(z, float32(sum))
			}
		}
		x = z
	}
	lat, err := raw.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	// Whitened rows are rounded to float32 on the way in, which the reference's are not.
	nearly(t, "unfolded_feature_acts", denseLatents(lat, raw.DSAE), want, c.Tolerance.RTol, c.Tolerance.ATol)
}

func whitening(t *testing.T, before *goldenCase) (mean, w, u []float64) {
	return before.f64(t, "mean"), before.f64(t, "whitening_matrix"), before.f64(t, "unwhitening_matrix")
}

func (c *goldenCase) foldWhitening(t *testing.T, raw *SAE, before *goldenCase) error {
	mean, w, u := whitening(t, before)
	return raw.FoldWhitening(mean, w, u)
}
