package sae

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// TestEnginesAgree compares the hand-written sparse gradients (host, hybrid and xla) with the automatic ones of the dense
// program over some steps with dead latents, for every loss, decoder and selection rule. 32 rows and 70 latents do not fill
// the host's tiles.
func TestEnginesAgree(t *testing.T) {
	b := graphtest.Backend(t)
	if graphtest.IsGo(t) {
		t.Skip("the Go backend runs the host and hybrid engines only; TestFiniteDifferences checks its gradients there")
	}
	for i, c := range []struct {
		arch, loss, decoder string
		rescale             bool
		sparsity            string // jumprelu's; quadratic with gradients into the pre-activations and another kernel
	}{
		{ArchTopK, LossFVU, DecoderUnit, false, ""},
		{ArchTopK, LossFVU, DecoderFree, true, ""},
		{ArchTopK, LossMSE, DecoderUnit, false, ""},
		{ArchAbsTopK, LossMSE, DecoderFree, true, ""},
		{ArchBatchTopK, LossFVU, DecoderFree, true, ""},
		{ArchMatryoshka, LossMSE, DecoderUnit, false, ""},
		{ArchTopKTranscoder, LossFVU, DecoderFree, false, ""},
		{ArchJumpReLU, LossFVU, DecoderUnit, false, SparsityStep},
		{ArchJumpReLU, LossMSE, DecoderFree, false, SparsityTarget},
		{ArchJumpReLUTranscoder, LossMSE, DecoderFree, false, SparsityQuadratic},
		{ArchStandard, LossMSE, DecoderFree, false, ""},
	} {
		t.Run(fmt.Sprintf("%s/%s/%s/rescale=%v", c.arch, c.loss, c.decoder, c.rescale), func(t *testing.T) {
			cfg := small(t, func(cfg *Config) {
				cfg.Loss, cfg.Decoder, cfg.RescaleByDecoder, cfg.AdamEps = c.loss, c.decoder, c.rescale, 1e-6
				cfg.Arch, cfg.DSAE, cfg.Engine = c.arch, 70, EngineHost
				if c.arch == ArchTopKTranscoder || c.arch == ArchJumpReLUTranscoder {
					cfg.DOut = 9
				}
				if c.sparsity != "" {
					cfg.JumpReLU.Sparsity, cfg.JumpReLU.Init, cfg.JumpReLU.Bandwidth, cfg.TargetL0 = c.sparsity, 0.5, 0.2, 10
				}
				if c.sparsity == SparsityQuadratic {
					cfg.JumpReLU.STEToInput, cfg.JumpReLU.Kernel = true, KernelEpanechnikov
				}
			})
			x, y := normals(7, 3*cfg.Batch*cfg.DIn), normals(8, 3*cfg.Batch*cfg.width())
			if !cfg.transcodes() {
				y = x
			}
			p := newParams(initialWeights(cfg, x, y))
			scaleBy(p.w.dec[:5*cfg.width()], map[bool]float32{true: 1.5, false: 1}[c.decoder == DecoderFree])
			scaleBy(p.w.enc, 2) // away from the thresholds of most latents
			dead := []int32{1, 2, 5, 9, 30, 31, 32, 33, 60, 61, 63}
			states := map[string]params{}
			outs := map[string]stepOutput{}
			for _, name := range enginesFor(t, cfg) {
				e, err := newEngine(b, name, cfg, p.clone())
				if err != nil {
					t.Fatal(err)
				}
				var out stepOutput
				for s := range 3 {
					in := stepInput{x: x[s*cfg.Batch*cfg.DIn : (s+1)*cfg.Batch*cfg.DIn], rate: 1e-3, t: int64(s + 1), coef: 0.3}
					if cfg.transcodes() {
						in.y = y[s*cfg.Batch*cfg.width() : (s+1)*cfg.Batch*cfg.width()]
					}
					if s > 0 || i > 0 { // the program without AuxK is compiled in the first case only
						in.dead = dead
					}
					if out, err = e.step(in); err != nil {
						t.Fatal(err)
					}
				}
				if states[name], err = e.snapshot(); err != nil {
					t.Fatal(err)
				}
				outs[name] = out
				defer e.close()
			}
			want, stats := states[EngineDense], outs[EngineDense]
			if cfg.selects() && stats.aux <= 0 || !cfg.selects() && stats.sparsity <= 0 {
				t.Fatal("AuxK or the sparsity term is not part of the loss, so that its gradient is not compared")
			}
			for _, name := range enginesFor(t, cfg) {
				if name == EngineDense {
					continue
				}
				got, o := states[name], outs[name]
				near(t, name+" loss", o.loss, stats.loss, 1e-5)
				near(t, name+" aux", o.aux, stats.aux, 1e-5)
				near(t, name+" mse", o.mse, stats.mse, 1e-5)
				near(t, name+" sparsity", o.sparsity, stats.sparsity, 1e-5)
				near(t, name+" near", o.near, stats.near, 0)
				near(t, name+" variance", o.variance, stats.variance, 1e-5)
				near(t, name+" l0", o.l0, stats.l0, 0)
				near(t, name+" gradient norm", o.gradNorm, stats.gradNorm, 1e-4)
				for i := range layout(cfg) {
					nearly(t, name+" "+layout(cfg)[i].name, got.w.slices()[i], want.w.slices()[i], 1e-5, 2e-5)
					// The first moments are sums of the gradients themselves: Adam cannot hide a wrong scale here.
					nearly(t, name+" m "+layout(cfg)[i].name, got.m.slices()[i], want.m.slices()[i], 1e-3, 1e-6*o.gradNorm)
					nearly(t, name+" v "+layout(cfg)[i].name, got.v.slices()[i], want.v.slices()[i], 1e-3, 1e-8*o.gradNorm*o.gradNorm)
				}
				for i := range o.fired {
					if o.fired[i] != stats.fired[i] {
						t.Errorf("%s: latent %d fired: %v, want %v", name, i, o.fired[i], stats.fired[i])
					}
				}
			}
		})
	}
}

// TestFiniteDifferences checks the host's gradients of the loss without AuxK against central differences, at weights
// far from any change of the selection.
func TestFiniteDifferences(t *testing.T) {
	b := graphtest.Backend(t)
	for _, loss := range []string{LossFVU, LossMSE} {
		cfg := small(t, func(c *Config) { c.Loss, c.Decoder, c.Clip, c.Batch = loss, DecoderFree, 0, 8 })
		x := normals(11, cfg.Batch*cfg.DIn)
		start := normals(12, 64*cfg.DIn)
		w := initialWeights(cfg, start, start)
		lossAt := func(w weights) (float64, weights) {
			h, err := newHybrid(b, cfg, newParams(w.clone()), loss == LossMSE)
			if err != nil {
				t.Fatal(err)
			}
			defer h.close()
			out, err := h.step(stepInput{x: x, rate: 0, t: 1})
			if err != nil {
				t.Fatal(err)
			}
			for i := range h.active {
				if !h.active[i] {
					clear(h.grad.enc[i*cfg.DIn : (i+1)*cfg.DIn])
					clear(h.grad.dec[i*cfg.DIn : (i+1)*cfg.DIn])
				}
			}
			return out.loss, h.grad
		}
		_, grad := lossAt(w)
		for n, g := range grad.slices() {
			at := 0 // the largest gradient: far above the rounding of a difference of losses
			for i, v := range g {
				if math.Abs(float64(v)) > math.Abs(float64(g[at])) {
					at = i
				}
			}
			const h = 1e-3
			up, down := w.clone(), w.clone()
			up.slices()[n][at] += h
			down.slices()[n][at] -= h
			a, _ := lossAt(up)
			c, _ := lossAt(down)
			// Central differences of a quadratic are exact; 2 % is left for float32 sums and a moved selection.
			near(t, fmt.Sprintf("%s: gradient of %s[%d]", loss, layout(cfg)[n].name, at), float64(g[at]), (a-c)/(2*h), 0.02)
		}
	}
}

// TestHandStep follows a step of two latents with k = 1 on paper: W_enc = W_dec^T = I, biases 0, x = (3, 1), so that
// f = (3, 0), e = (0, -1), loss 1, and the gradients are 2 f e on decoder row 0 and 0 on the encoder, as e . W_0 = 0.
func TestHandStep(t *testing.T) {
	b := graphtest.Backend(t)
	for _, name := range engines(t) {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Arch: ArchTopK, DIn: 2, DSAE: 2, K: 1, Batch: 1, Loss: LossMSE, Decoder: DecoderFree, Beta1: 0.9, Beta2: 0.999, AdamEps: 1e-8, AuxK: 1}
			w := weights{enc: []float32{1, 0, 0, 1}, dec: []float32{1, 0, 0, 1}, bEnc: []float32{0, 0}, bDec: []float32{0, 0}}
			e, err := newEngine(b, name, cfg, newParams(w.clone()))
			if err != nil {
				t.Fatal(err)
			}
			defer e.close()
			out, err := e.step(stepInput{x: []float32{3, 1}, rate: 0.1, t: 1})
			if err != nil {
				t.Fatal(err)
			}
			if out.loss != 1 || out.mse != 1 || out.l0 != 1 || !out.fired[0] || out.fired[1] {
				t.Errorf("loss %v, mse %v, l0 %v, fired %v; want 1, 1, 1, [true false]", out.loss, out.mse, out.l0, out.fired)
			}
			near(t, "gradient norm", out.gradNorm, math.Sqrt(36+4), 1e-6) // decoder (0, -6), b_dec (0, -2)
			p, err := e.snapshot()
			if err != nil {
				t.Fatal(err)
			}
			// Adam's first step has the size of the rate, against the sign of the gradient.
			nearly(t, "W_dec", p.w.dec, []float32{1, 0.1, 0, 1}, 0, 1e-6)
			nearly(t, "W_enc", p.w.enc, []float32{1, 0, 0, 1}, 0, 0)
			nearly(t, "b_dec", p.w.bDec, []float32{0, 0.1}, 0, 1e-6)
			nearly(t, "b_enc", p.w.bEnc, []float32{0, 0}, 0, 0)
		})
	}
}

// TestRowOrder permutes the rows of a batch: the gradients are sums over rows, so that only rounding may change.
func TestRowOrder(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := small(t, func(c *Config) { c.AdamEps = 1e-6 })
	x := normals(21, cfg.Batch*cfg.DIn)
	y := make([]float32, len(x))
	for r := range cfg.Batch {
		copy(y[r*cfg.DIn:(r+1)*cfg.DIn], x[(cfg.Batch-1-r)*cfg.DIn:])
	}
	p := newParams(initialWeights(cfg, x, x))
	var first params
	for i, batch := range [][]float32{x, y} {
		e, err := newHybrid(b, cfg, p.clone(), true)
		if err != nil {
			t.Fatal(err)
		}
		defer e.close()
		if _, err := e.step(stepInput{x: batch, rate: 1e-3, t: 1, dead: []int32{3, 4, 5}}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = e.p
			continue
		}
		for n := range 4 {
			nearly(t, layout(cfg)[n].name, e.p.m.slices()[n], first.m.slices()[n], 1e-3, 1e-7)
		}
	}
}

func TestNonFinite(t *testing.T) {
	b := graphtest.Backend(t)
	for _, name := range engines(t) {
		t.Run(name, func(t *testing.T) {
			cfg := small(t, func(c *Config) { c.Engine = name })
			x := normals(31, cfg.Batch*cfg.DIn)
			tr, err := NewTrainer(b, cfg, x)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			if _, err := tr.Step(x); err != nil {
				t.Fatal(err)
			}
			snap, err := tr.eng.snapshot()
			if err != nil {
				t.Fatal(err)
			}
			before := snap.w.clone()
			bad := append([]float32{}, x...)
			bad[5*cfg.DIn+3] = float32(math.Inf(1))
			_, err = tr.Step(bad)
			if !errors.Is(err, ErrNonFinite) || !strings.Contains(err.Error(), "step 2") || !strings.Contains(err.Error(), "row 5, dimension 3") {
				t.Fatalf("got %v; want ErrNonFinite naming step 2, row 5, dimension 3", err)
			}
			after, err := tr.eng.snapshot()
			if err != nil {
				t.Fatal(err)
			}
			for n := range 4 {
				nearly(t, layout(cfg)[n].name+" after the refused step", after.w.slices()[n], before.slices()[n], 0, 0)
			}
			if _, err := tr.Step(x); err != nil {
				t.Errorf("the trainer cannot go on after a refused batch: %v", err)
			}
		})
	}
}
