package demo

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/sae"
)

// randomSAE is an autoencoder with random weights.
func randomSAE(d, f, k int) *sae.SAE {
	rng := rand.New(rand.NewPCG(7, 7))
	fill := func(n int, scale float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(scale * rng.NormFloat64())
		}
		return x
	}
	return &sae.SAE{
		Arch: sae.ArchTopK, DIn: d, DSAE: f, K: k, ApplyBDecToInput: true, Normalize: sae.NormalizeNone,
		WEnc: fill(d*f, 0.05), WDec: fill(f*d, 0.05), BEnc: fill(f, 0.1), BDec: fill(d, 0.1),
	}
}

func near(t *testing.T, what string, got, want []float32, atol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= atol) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestTail holds the second half of the encoder against the whole one, and every edit against a restart from a residual
// stream that is changed on the host. Tolerances are float32 rounding of unit vectors through three blocks.
func TestTail(t *testing.T) {
	b := graphtest.Backend(t)
	if graphtest.IsGo(t) {
		t.Skip("TopK is slow on the Go backend; internal/backend and probe/model test it there")
	}
	ctx := t.Context()
	path := graphtest.Model(t, "minilm")
	tok, err := token.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(ctx, b, path, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := model.NewEngine(b, nil)
	const layer, length, d = 3, 16, 384
	resid, sentence := model.Site{Kind: model.ResidPre, Layer: layer}, model.Site{Kind: model.Sentence}
	texts := &Texts{Width: d, Start: []int{0}}
	whole := make([]float32, 0, 3*d)
	program, err := e.Compile(m.Spec, model.Plan{Batch: 1, Seq: length, Captures: []model.Capture{{Site: resid}, {Site: sentence}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"The cat sat on the mat.", "No", "Package tar implements access to tar archives."} {
		enc, err := tok.Encode(s, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			t.Fatal(err)
		}
		in := model.Inputs{IDs: make([]int32, length), Mask: make([]int32, length)}
		copy(in.IDs, enc.IDs)
		for i := range enc.IDs {
			in.Mask[i] = 1
		}
		out, err := program.Run(ctx, m.Params, in)
		if err != nil {
			t.Fatal(err)
		}
		texts.X = append(texts.X, tensors.MustCopyFlatData[float32](out.Site(resid))[:enc.Len()*d]...)
		texts.Start = append(texts.Start, texts.Start[len(texts.Start)-1]+enc.Len())
		embedding := tensors.MustCopyFlatData[float32](out.Site(sentence))
		unit(embedding)
		whole = append(whole, embedding...)
		if err := out.Free(); err != nil {
			t.Fatal(err)
		}
	}
	const f, k = 96, 6
	tail, err := NewTail(e, m, layer, []int{8, length}, f, k)
	if err != nil {
		t.Fatal(err)
	}
	embed := func(texts *Texts, e Edit) []float32 {
		t.Helper()
		out, err := tail.Embed(ctx, texts, lab.UpTo(texts.Len()), e, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	restart := func(x []float32) []float32 { return embed(&Texts{Width: d, Start: texts.Start, X: x}, Edit{}) }
	near(t, "no edit", embed(texts, Edit{}), whole, 2e-6)

	s := randomSAE(d, f, k)
	spliced, err := Splice(s)
	if err != nil {
		t.Fatal(err)
	}
	runner, err := sae.NewRunner(b, s, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer runner.Close()
	lat, y, err := runner.Reconstruct(ctx, texts.X)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "spliced", embed(texts, Edit{SAE: spliced}), restart(y), 1e-5)
	near(t, "spliced with its error", embed(texts, Edit{SAE: spliced, KeepError: true}), whole, 1e-5)

	off := []int32{lat.Index[0], lat.Index[2*k+1], 95}
	x := append([]float32(nil), texts.X...)
	remove(x, s, lat, off)
	if worst := cosines(whole, restart(x), d); worst[0] > 0.999 {
		t.Errorf("the ablated latents change nothing: cosines %v", worst)
	}
	near(t, "ablated", embed(texts, Edit{SAE: spliced, Off: off, KeepError: true}), restart(x), 1e-5)

	mean := texts.Rows(1)[:d]
	for r := range len(x) / d {
		copy(x[r*d:], mean)
	}
	near(t, "mean", embed(texts, Edit{Mean: mean}), restart(x), 2e-6)

	for _, c := range []struct {
		name, want string
		texts      *Texts
		edit       Edit
	}{
		{"too long", "longest bucket", &Texts{Width: d, Start: []int{0, length + 1}, X: make([]float32, (length+1)*d)}, Edit{}},
		{"latent outside", "latent 96 of 96", texts, Edit{SAE: spliced, Off: []int32{96}}},
		{"other size", "in a program for 96 latents", texts, Edit{SAE: &Spliced{latents: 4, k: 2}}},
	} {
		if _, err := tail.Embed(ctx, c.texts, lab.UpTo(c.texts.Len()), c.edit, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if err := spliced.Free(); err != nil {
		t.Fatal(err)
	}
	s.RescaleByDecoder = true
	if _, err := Splice(s); err == nil {
		t.Error("an autoencoder with decoder norms to fold is accepted")
	}
}
