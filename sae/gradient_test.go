package sae

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// wideLoss evaluates an architecture's loss and its gradients in float64.
type wideLoss struct {
	cfg   Config
	exec  *Exec
	fixed []any // x, y, knobs, and dead where there are
	w     [][]float64
}

// newWideLoss takes rows and weights by seed, away from zero, and dead latents where dead is not nil.
func newWideLoss(t *testing.T, cfg Config, dead []float64) *wideLoss {
	t.Helper()
	l := &wideLoss{cfg: cfg}
	exec, err := NewExec(graphtest.Backend(t), func(in []*Node) []*Node {
		li := lossInput{cfg: cfg, x: in[0], y: in[0], w: weightNodes{}}
		if cfg.transcodes() {
			li.y = in[1]
		}
		li.coef, li.aux = knob(in[2], 0), knob(in[2], 1)
		in = in[3:]
		if dead != nil {
			li.dead = in[0]
			in = in[1:]
		}
		for i, info := range layout(cfg) {
			li.w[info.name] = in[i]
		}
		grads, stats, _, _ := gradientsGraph(li, true)
		out := []*Node{stats[statLoss], stats[statAux]}
		for _, info := range layout(cfg) {
			g := grads[info.name]
			if g == nil {
				g = ZerosLike(li.w[info.name])
			}
			out = append(out, g)
		}
		return out
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(exec.Finalize)
	l.exec = exec
	wide := func(seed uint64, n int) []float64 {
		out := make([]float64, n)
		for i, v := range normals(seed, n) {
			out[i] = float64(v)
		}
		return out
	}
	tensor := func(values []float64, dims ...int) any { return tensors.FromFlatDataAndDimensions(values, dims...) }
	b := cfg.Batch
	l.fixed = []any{
		tensor(wide(1, b*cfg.inWidth()), b, cfg.inWidth()), tensor(wide(2, b*cfg.width()), b, cfg.width()), tensor([]float64{0.3, 0.7}, 2),
	}
	if dead != nil {
		l.fixed = append(l.fixed, tensor(dead, len(dead)))
	}
	for i, info := range layout(cfg) {
		n := 1
		for _, d := range info.shape {
			n *= d
		}
		values := wide(uint64(10+i), n)
		for j := range values {
			values[j] *= 0.7
			if info.name == "threshold" {
				values[j] = 0.3 + 0.05*float64(j)
			}
			if info.name == archetypeWeight { // within its set
				values[j] = math.Abs(values[j])
			}
		}
		l.w = append(l.w, values)
	}
	return l
}

// at returns the loss, AuxK's part of it, and the gradients.
func (l *wideLoss) at(t *testing.T) (loss, aux float64, grads [][]float64) {
	t.Helper()
	args := append([]any{}, l.fixed...)
	for i, info := range layout(l.cfg) {
		args = append(args, tensors.FromFlatDataAndDimensions(l.w[i], info.shape...))
	}
	out, err := l.exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range out[2:] {
		err := tensors.ConstFlatData(n, func(g []float64) { grads = append(grads, append([]float64{}, g...)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return out[0].Value().(float64), out[1].Value().(float64), grads
}

// compare holds the gradients of every tensor but those in skip against central differences, at up to five places each.
func (l *wideLoss) compare(t *testing.T, skip ...string) {
	t.Helper()
	_, _, grads := l.at(t)
	const h = 1e-6
	moved := 0
	for i, info := range layout(l.cfg) {
		if slices.Contains(skip, info.name) || isFixed(info.name) {
			continue
		}
		for j := 0; j < len(l.w[i]); j += 1 + len(l.w[i])/5 {
			at := l.w[i][j]
			l.w[i][j] = at + h
			up, _, _ := l.at(t)
			l.w[i][j] = at - h
			down, _, _ := l.at(t)
			l.w[i][j] = at
			want := (up - down) / (2 * h)
			if want != 0 {
				moved++
			}
			// Sums of a few tens of terms of size 1 in float64, divided by 2e-6.
			if math.Abs(grads[i][j]-want) > 1e-7+1e-6*math.Abs(want) {
				t.Errorf("gradient of %s[%d] is %v, want %v", info.name, j, grads[i][j], want)
			}
		}
	}
	if moved < 5 {
		t.Errorf("only %d of the derivatives are not zero: the test is too weak", moved)
	}
}

func gradientConfig(arch string) Config {
	cfg := Config{
		Arch: arch, DIn: 5, DSAE: 8, K: 2, Batch: 6, Loss: LossMSE, Decoder: DecoderFree, Normalize: NormalizeNone, AuxK: 2, AuxCoef: 1, LpNorm: 1,
		JumpReLU:   JumpReLUConfig{Bandwidth: 0.8, Kernel: KernelRectangle, Sparsity: SparsityStep, TanhScale: 2},
		Matryoshka: MatryoshkaConfig{Widths: []int{2, 5, 8}}, Pursuit: PursuitConfig{Iterations: 3, StopDuplicate: true},
		Crosscoder: CrosscoderConfig{Norm: CodeNormCrosscoder}, GatedFreeDecoder: true, TargetL0: 2, Archetypal: ArchetypalConfig{Points: 4, Delta: 100},
	}
	if cfg.inSites() == 0 {
		cfg.Layers = 2
	}
	if cfg.transcodes() && !cfg.crossLayer() {
		cfg.DOut = 4
	}
	return cfg
}

// TestGradients compares the gradients of every architecture's loss with central differences in float64. Selections and
// thresholds do not move with the weights there, so that their pseudo-gradients are left out: see TestJumpGradients.
func TestGradients(t *testing.T) {
	type variant struct {
		name string
		edit func(*Config)
	}
	variants := map[string][]variant{
		ArchStandard: {{"p = 0.5", func(c *Config) { c.LpNorm = 0.5 }}, {"layer norm", func(c *Config) { c.Normalize = normalizeLayerNorm }}},
		ArchTopK: {
			{"fvu", func(c *Config) { c.Loss = LossFVU }}, {"norm", func(c *Config) { c.RescaleByDecoder = true }},
			{"constant norm", func(c *Config) { c.Normalize = normalizeConstantNorm }},
		},
		ArchMatryoshka:      {{"per row", func(c *Config) { c.Matryoshka.PerRow = true }}},
		ArchJumpReLU:        {{"tanh", func(c *Config) { c.JumpReLU.Sparsity = SparsityTanh }}},
		ArchMatchingPursuit: {{"residual", func(c *Config) { c.Pursuit.Residual, c.Pursuit.StopDuplicate = 0.5, false }}},
	}
	for _, arch := range trainable {
		if arch == ArchTemporal {
			continue // see TestTemporalLoss
		}
		for _, v := range append([]variant{{"plain", func(*Config) {}}}, variants[arch]...) {
			t.Run(arch+"/"+v.name, func(t *testing.T) {
				cfg := gradientConfig(arch)
				v.edit(&cfg)
				newWideLoss(t, cfg, nil).compare(t, "threshold")
			})
		}
	}
}

// TestAuxGradients compares the gradients of AuxK with central differences in which the residual is held, as the loss says:
// the loss with AuxK less the loss without it, with only the dead latents' weights moved, which no residual depends on.
func TestAuxGradients(t *testing.T) {
	for _, arch := range []string{ArchTopK, ArchAbsTopK, ArchBatchTopK, ArchMatryoshka, ArchTopKTranscoder} {
		for _, loss := range []string{LossMSE, LossFVU} {
			t.Run(arch+"/"+loss, func(t *testing.T) {
				cfg := gradientConfig(arch)
				cfg.Loss = loss
				dead := []float64{0, 0, 1, 0, 1, 0, 1, 0}
				l := newWideLoss(t, cfg, dead)
				for i, info := range layout(cfg) { // dead latents, above zero for some rows and never among the largest
					if info.name != "W_enc" && info.name != "b_enc" {
						continue
					}
					size := len(l.w[i]) / cfg.DSAE
					for f, on := range dead {
						for j := range size {
							if on > 0 {
								l.w[i][f*size+j] *= 0.01
							} else if info.name == "b_enc" {
								l.w[i][f*size+j] += 2
							}
						}
					}
				}
				_, aux, grads := l.at(t)
				if aux == 0 {
					t.Fatal("AuxK is not part of the loss")
				}
				const h = 1e-6
				moved := 0
				for i, info := range layout(cfg) {
					if info.name == "b_dec" {
						continue // moves the residual
					}
					size := len(l.w[i]) / cfg.DSAE
					for f, on := range dead {
						if on == 0 {
							continue
						}
						j := f * size
						at := l.w[i][j]
						l.w[i][j] = at + h
						_, up, _ := l.at(t)
						l.w[i][j] = at - h
						_, down, _ := l.at(t)
						l.w[i][j] = at
						want := (up - down) / (2 * h)
						if want != 0 {
							moved++
						}
						if math.Abs(grads[i][j]-want) > 1e-7+1e-6*math.Abs(want) {
							t.Errorf("gradient of %s of dead latent %d is %v, want %v", info.name, f, grads[i][j], want)
						}
					}
				}
				if moved < 2 {
					t.Errorf("only %d derivatives are not zero", moved)
				}
			})
		}
	}
}

// TestJumpGradients compares the gradients of JumpReLU's thresholds with the pseudo-gradients as defined: with K the kernel
// at h - theta, d f / d theta = -theta K and d 1[h > theta] / d theta = -K. With STEToInput the pre-activation gets the
// opposite, so that b_enc gains what the threshold has.
func TestJumpGradients(t *testing.T) {
	for _, mode := range []string{SparsityStep, SparsityTanh, SparsityQuadratic, SparsityTarget} {
		t.Run(mode, func(t *testing.T) {
			cfg := gradientConfig(ArchJumpReLU)
			cfg.JumpReLU.Sparsity, cfg.JumpReLU.PreActCoef = mode, 0.2
			dead := []float64{0, 1, 0, 0, 0, 0, 0, 1}
			l := newWideLoss(t, cfg, dead)
			_, _, plain := l.at(t)
			want := l.thresholdGradient(t, dead)
			for i, g := range plain[4] {
				if math.Abs(g-want[i]) > 1e-10+1e-9*math.Abs(want[i]) {
					t.Errorf("gradient of threshold %d is %v, want %v", i, g, want[i])
				}
			}
			cfg.JumpReLU.STEToInput, cfg.JumpReLU.PreActCoef = true, 0
			_, _, both := newWideLoss(t, cfg, nil).at(t)
			cfg.JumpReLU.STEToInput = false
			_, _, apart := newWideLoss(t, cfg, nil).at(t)
			for i, g := range both[2] {
				if math.Abs(g-(apart[2][i]-apart[4][i])) > 1e-10 {
					t.Errorf("b_enc[%d] has gradient %v with STEToInput, want %v - %v", i, g, apart[2][i], apart[4][i])
				}
			}
		})
	}
}

// thresholdGradient is the pseudo-gradient of every threshold, from the definition.
func (l *wideLoss) thresholdGradient(t *testing.T, dead []float64) []float64 {
	t.Helper()
	cfg := l.cfg
	d, f, n := cfg.DIn, cfg.DSAE, cfg.Batch
	enc, dec, bEnc, bDec, theta := l.w[0], l.w[1], l.w[2], l.w[3], l.w[4]
	var x []float64
	if err := tensors.ConstFlatData(l.fixed[0].(*tensors.Tensor), func(v []float64) { x = append(x, v...) }); err != nil {
		t.Fatal(err)
	}
	const coef, pre = 0.3, 0.2
	scale, target := cfg.JumpReLU.TanhScale, cfg.TargetL0
	h, l0 := make([]float64, n*f), make([]float64, n)
	e := make([]float64, n*d)
	var meanL0 float64
	for r := range n {
		for j := range d {
			e[r*d+j] = bDec[j] - x[r*d+j]
		}
		for i := range f {
			v := bEnc[i]
			for j := range d {
				v += (x[r*d+j] - bDec[j]) * enc[i*d+j]
			}
			h[r*f+i] = v
			if v > theta[i] {
				l0[r]++
				for j := range d {
					e[r*d+j] += v * dec[i*d+j]
				}
			}
		}
		meanL0 += l0[r] / float64(n)
	}
	out := make([]float64, f)
	inside := 0
	for i := range f {
		norm := math.Sqrt(dot64(dec[i*d:(i+1)*d], dec[i*d:(i+1)*d]))
		for r := range n {
			v := h[r*f+i]
			var k float64
			if math.Abs(v-theta[i]) < cfg.JumpReLU.Bandwidth/2 {
				k = 1 / cfg.JumpReLU.Bandwidth
				inside++
			}
			act := 0.0
			if v > theta[i] {
				act = v
			}
			dAct := 2 / float64(n) * dot64(e[r*d:(r+1)*d], dec[i*d:(i+1)*d])
			var dL0 float64
			switch cfg.JumpReLU.Sparsity {
			case SparsityStep:
				dL0 = coef / float64(n)
			case SparsityTanh:
				th := math.Tanh(scale * act * norm)
				dAct += coef / float64(n) * scale * norm * (1 - th*th)
			case SparsityQuadratic:
				dL0 = coef / float64(n) * 2 / target * 2 * (l0[r] - target)
			case SparsityTarget:
				dL0 = coef * 2 * (meanL0/target - 1) / target / float64(n)
			}
			out[i] -= k * (dAct*theta[i] + dL0)
			if dead[i] > 0 && theta[i] > v {
				out[i] += pre / float64(n) * norm
			}
		}
	}
	if inside < 5 || inside == n*f {
		t.Fatalf("%d of %d pre-activations lie within the kernel: the test is too weak", inside, n*f)
	}
	return out
}
