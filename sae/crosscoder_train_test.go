package sae

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loupe/internal/graphtest"
)

// crosscoderConfig is a crosscoder of a hundred weights, for losses and gradients.
func crosscoderConfig(arch, norm string) Config {
	cfg := literatureConfig(arch)
	cfg.Layers, cfg.DIn, cfg.DSAE, cfg.K, cfg.Batch, cfg.AuxCoef = 3, 4, 7, 2, 6, 0
	cfg.Crosscoder = CrosscoderConfig{Norm: norm, AlphaSAE: 0.7, AlphaCC: 0.3}
	cfg.JumpReLU.Sparsity = SparsityTanh
	return cfg
}

// crosscoderWeights are random weights of a crosscoder, none of them zero.
func crosscoderWeights(cfg Config) weights {
	w := newWeights(cfg)
	for i, s := range w.slices() {
		copy(s, normals(uint64(40+i), len(s)))
		scaleBy(s, 0.5)
	}
	for i, v := range w.named(cfg, "threshold") {
		w.named(cfg, "threshold")[i] = 0.2 + 0.1*max(v, -v)
	}
	return w
}

// crosscoderReference is the loss of a crosscoder in float64, loop by loop, from the definition: mean over rows of the squared
// error of all sites, plus coef times the sparsity term.
func crosscoderReference(cfg Config, w weights, x []float32, coef float64) (loss, active float64) {
	l, d, f, n := cfg.Layers, cfg.DIn, cfg.DSAE, cfg.Batch
	norm := func(i, site int) float64 {
		var sq float64
		for j := range d {
			v := float64(w.dec[(i*l+site)*d+j])
			sq += v * v
		}
		return math.Sqrt(sq)
	}
	code := make([]float64, f)
	for i := range f {
		var sum, sq float64
		for s := range l {
			sum, sq = sum+norm(i, s), sq+norm(i, s)*norm(i, s)
		}
		code[i] = map[string]float64{
			CodeNormCrosscoder: sum, CodeNormSAE: math.Sqrt(sq), CodeNormNone: 1, CodeNormDecoupled: sum,
			CodeNormMixed: cfg.Crosscoder.AlphaSAE*math.Sqrt(sq) + cfg.Crosscoder.AlphaCC*sum,
		}[cfg.Crosscoder.Norm]
	}
	pre := make([][]float64, n)
	for r := range n {
		pre[r] = make([]float64, f)
		for i := range f {
			pre[r][i] = float64(w.bEnc[i])
			for j := range l * d {
				pre[r][i] += float64(x[r*l*d+j]) * float64(w.enc[i*l*d+j])
			}
		}
	}
	// on tells whether latent i of row r takes part at a site.
	on := func(r, i, site int) bool { return pre[r][i] > 0 }
	limit := func(score func(r, i int) float64, rows []int, keep int) float64 {
		var all []float64
		for _, r := range rows {
			for i := range f {
				all = append(all, max(score(r, i), 0))
			}
		}
		slices.SortFunc(all, func(a, b float64) int { return cmp.Compare(b, a) })
		return all[keep-1]
	}
	every := make([]int, n)
	for r := range n {
		every[r] = r
	}
	switch cfg.base() {
	case ArchJumpReLU:
		theta := w.named(cfg, "threshold")
		on = func(r, i, site int) bool { return pre[r][i] > float64(theta[i]) }
	case ArchTopK:
		score := func(r, i int) float64 { return pre[r][i] * code[i] }
		on = func(r, i, site int) bool {
			return pre[r][i] > 0 && score(r, i) >= limit(score, []int{r}, cfg.K)
		}
	case ArchBatchTopK:
		on = func(r, i, site int) bool {
			score := func(r, i int) float64 { return pre[r][i] * code[i] }
			if cfg.Crosscoder.Norm == CodeNormDecoupled {
				score = func(r, i int) float64 { return pre[r][i] * norm(i, site) }
			}
			return pre[r][i] > 0 && score(r, i) >= limit(score, every, cfg.batchK())
		}
	}
	for r := range n {
		for s := range l {
			for j := range d {
				e := float64(w.bDec[s*d+j]) - float64(x[(r*l+s)*d+j])
				for i := range f {
					if on(r, i, s) {
						e += pre[r][i] * float64(w.dec[(i*l+s)*d+j])
					}
				}
				loss += e * e / float64(n)
			}
		}
		for i := range f {
			if !on(r, i, 0) && !(l > 1 && (on(r, i, 1) || on(r, i, 2))) {
				continue
			}
			active += 1 / float64(n)
			switch cfg.base() {
			case ArchStandard:
				loss += coef * pre[r][i] * code[i] / float64(n)
			case ArchJumpReLU:
				loss += coef * math.Tanh(cfg.JumpReLU.TanhScale*pre[r][i]*code[i]) / float64(n)
			}
		}
	}
	return loss, active
}

// TestCrosscoderLoss compares loss, number of active latents and every gradient with the reference, the gradients with its
// central differences. No published numbers of crosscoder training exist to compare with.
func TestCrosscoderLoss(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense program needs XLA's TopK")
	}
	for _, c := range []struct{ arch, norm string }{
		{ArchCrosscoder, CodeNormCrosscoder}, {ArchCrosscoder, CodeNormSAE}, {ArchCrosscoder, CodeNormMixed}, {ArchCrosscoder, CodeNormNone},
		{ArchCrosscoder, CodeNormDecoupled}, {ArchJumpReLUCrosscoder, CodeNormCrosscoder}, {ArchTopKCrosscoder, CodeNormCrosscoder},
		{ArchTopKCrosscoder, CodeNormSAE}, {ArchBatchTopKCrosscoder, CodeNormCrosscoder}, {ArchBatchTopKCrosscoder, CodeNormDecoupled},
	} {
		t.Run(c.arch+"/"+c.norm, func(t *testing.T) {
			cfg := crosscoderConfig(c.arch, c.norm)
			x := normals(77, cfg.Batch*cfg.inWidth())
			w := crosscoderWeights(cfg)
			const coef = 0.3
			want, active := crosscoderReference(cfg, w, x, coef)
			out, grad := literatureStep(t, EngineDense, cfg, w, stepInput{x: x, coef: coef})
			near(t, "loss", out.loss, want, 1e-5)
			near(t, "L0", out.l0, active, 1e-6)
			var sites float64
			for _, v := range out.siteMSE {
				sites += v
			}
			near(t, "sum of the sites' errors", sites, out.mse, 1e-5)
			gradientsAgree(t, cfg, w, grad, func(w weights) float64 {
				loss, _ := crosscoderReference(cfg, w, x, coef)
				return loss
			})
		})
	}
}

// gradientsAgree compares each gradient of an engine with central differences of a float64 reference. Thresholds have a
// straight-through gradient in place of the true one, 0.
func gradientsAgree(t *testing.T, cfg Config, w, grad weights, loss func(weights) float64) {
	t.Helper()
	for n, g := range grad.slices() {
		name := layout(cfg)[n].name
		if name == "threshold" {
			continue
		}
		var most float64
		for _, v := range g {
			most = max(most, math.Abs(float64(v)))
		}
		if most == 0 {
			t.Errorf("%s has no gradient at all", name)
		}
		for i, v := range g {
			const h = 1.0 / 1024 // exact in float32 beside weights of order one
			at := func(step float32) float64 {
				moved := w.clone()
				moved.slices()[n][i] += step
				return loss(moved)
			}
			want := (at(h) - at(-h)) / (2 * h)
			// Third derivatives of the tanh term and float32 sums stay below a thousandth of the largest gradient. Some gradients
			// are zero but for rounding: a bias of keys shifts all scores of a query alike.
			if diff := math.Abs(float64(v) - want); diff > max(2e-3*most, 1e-8) {
				t.Errorf("gradient of %s[%d] is %v, want %v", name, i, v, want)
				return
			}
		}
	}
}

// TestCrosscoderByHand: two sites of width 1, two latents. W_enc = (1, 1; 0, 2), W_dec = (2, 1; 0, 3), x = (3, 1):
// f = (4, 2), x^ = (8, 10), e = (5, 9), 25+81 = 106; sum of norms 3 and 3, so that the sparsity term is 4*3 + 2*3 = 18.
// The gradient at f is 2 W_dec e + norms = (2*(10+9)+3, 2*27+3) = (41, 57), which is b_enc's.
func TestCrosscoderByHand(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	cfg := literatureConfig(ArchCrosscoder)
	cfg.Layers, cfg.DIn, cfg.DSAE, cfg.Batch = 2, 1, 2, 1
	cfg.Crosscoder.Norm = CodeNormCrosscoder
	w := newWeights(cfg)
	copy(w.enc, []float32{1, 1, 0, 2})
	copy(w.dec, []float32{2, 1, 0, 3})
	out, grad := literatureStep(t, EngineDense, cfg, w, stepInput{x: []float32{3, 1}, coef: 1})
	near(t, "loss", out.loss, 124, 1e-6)
	near(t, "sparsity", out.sparsity, 18, 1e-6)
	if !slices.Equal(out.siteMSE, []float64{25, 81}) || out.l0 != 2 {
		t.Errorf("errors of the sites %v, L0 %v; want 25, 81 and 2", out.siteMSE, out.l0)
	}
	nearly(t, "gradient of b_enc", grad.bEnc, []float32{41, 57}, 1e-6, 0)
	nearly(t, "gradient of b_dec", grad.bDec, []float32{10, 18}, 1e-6, 0)
	// 2 f e, and the sign of the weight times f.
	nearly(t, "gradient of W_dec", grad.dec, []float32{44, 76, 20, 38}, 1e-6, 0)
}

// twoModels is data with features of two synthetic models: shared ones with a direction in each, and exclusive ones.
type twoModels struct {
	d, shared, onlyA, onlyB int
	dirA, dirB              []float32 // [features, d]; zero rows where a model has not the feature
	x                       []float32 // [n, 2d]
}

func plantTwoModels(d, shared, onlyA, onlyB, rows int) twoModels {
	n := shared + onlyA + onlyB
	m := twoModels{d, shared, onlyA, onlyB, normals(91, n*d), normals(92, n*d), make([]float32, rows*2*d)}
	for i := range n {
		unit(m.dirA[i*d : (i+1)*d])
		unit(m.dirB[i*d : (i+1)*d])
		switch {
		case i >= shared+onlyA:
			clear(m.dirA[i*d : (i+1)*d])
		case i >= shared:
			clear(m.dirB[i*d : (i+1)*d])
		}
	}
	rng := rand.New(rand.NewPCG(93, 1))
	noise := normals(95, len(m.x))
	for r := range rows {
		row := m.x[r*2*d : (r+1)*2*d]
		for _, i := range rng.Perm(n)[:2] { // two features of each row
			v := float32(0.5 + rng.Float64())
			axpyPlain(v, m.dirA[i*d:(i+1)*d], row[:d])
			axpyPlain(3*v, m.dirB[i*d:(i+1)*d], row[d:]) // model b has larger activations
		}
		for j := range row {
			row[j] += 0.02 * noise[r*2*d+j]
		}
	}
	return m
}

// TestCrosscoders trains every crosscoder on two synthetic models. Each must recover the features, tell shared from exclusive
// ones by the relative norms, resume with the bytes of an unbroken run, and give the last steps' error when saved and loaded.
func TestCrosscoders(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("TopK and the dense programs are for XLA")
	}
	m := plantTwoModels(16, 10, 5, 5, 8000)
	for _, c := range []struct{ arch, norm string }{
		{ArchCrosscoder, CodeNormCrosscoder}, {ArchJumpReLUCrosscoder, CodeNormCrosscoder},
		{ArchTopKCrosscoder, CodeNormCrosscoder}, {ArchBatchTopKCrosscoder, CodeNormCrosscoder}, {ArchBatchTopKCrosscoder, CodeNormDecoupled},
	} {
		t.Run(c.arch+"/"+c.norm, func(t *testing.T) { trainCrosscoder(t, m, c.arch, c.norm) })
	}
}

func trainCrosscoder(t *testing.T, m twoModels, arch, norm string) {
	b := graphtest.Backend(t)
	cfg := DefaultConfig()
	cfg.Arch, cfg.Layers, cfg.DSAE, cfg.K, cfg.Batch, cfg.Tokens = arch, 2, 40, 2, 256, 256*900
	cfg.LR, cfg.Loss, cfg.Decoder, cfg.InitRows = 3e-3, LossMSE, DecoderFree, 2000
	cfg.SparsityCoef, cfg.TargetL0, cfg.AuxCoef, cfg.ThresholdLR = 0.3, 2, 0, 0.05
	cfg.CheckpointTokens, cfg.Crosscoder.Norm, cfg.InitDecoderNorm = 256*800, norm, 0.3
	cfg.JumpReLU.Bandwidth, cfg.JumpReLU.Init = 0.3, 0.1
	switch {
	case norm == CodeNormDecoupled:
		cfg.TargetL0 = 1.6 // a model has 15 of the 20 features
	case arch == ArchCrosscoder: // at the data's L0 the L1 term is so strong that it splits and shrinks features (arXiv:2504.02922)
		cfg.TargetL0 = 4
	case arch == ArchJumpReLUCrosscoder: // with short free rows the thresholds outrun the pre-activations
		cfg.Decoder, cfg.Tokens, cfg.CheckpointTokens = DecoderUnit, 256*2000, 256*1900
	}
	target := cfg.TargetL0
	cfg, err := cfg.Resolve(2 * m.d)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := NewMemoryRows(m.x, 2*m.d, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Start(b, cfg, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	before, err := tr.Crosscoder()
	if err != nil {
		t.Fatal(err)
	}
	whole := folder{dir: t.TempDir()}
	var half string
	var last StepStats
	var recent float64
	err = tr.Train(t.Context(), rows, TrainOptions{
		Save: func(step int64, write func(string) error) error {
			err := whole.save(step, write)
			half = cmp.Or(half, whole.last)
			return err
		},
		OnStep: func(s StepStats) error { last = s; recent += (s.MSE - recent) / 20; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	x, err := tr.Crosscoder()
	if err != nil {
		t.Fatal(err)
	}
	got, chance := m.judge(t, x), m.judge(t, before)
	l0 := tr.AchievedL0()
	t.Logf("FVU %.4f, by site %.4f, L0 %.2f, features found %d of 20, sorted rightly %d (untrained: %d, %d); coefficient %.3g, scales %.3f", last.FVU, last.SiteFVU, l0.Mean, got.found, got.sorted, chance.found, chance.sorted, last.Coef, x.Scales)
	if got.found < 18 || got.sorted < 18 {
		t.Errorf("found %d of 20 features and sorted %d rightly; want 18", got.found, got.sorted)
	}
	if chance.found > 4 {
		t.Errorf("an untrained crosscoder finds %d features: the test is too weak", chance.found)
	}
	if norm == CodeNormDecoupled { // counted once for both sites
		target = 2
	}
	if math.Abs(l0.Mean-target) > 0.2*target {
		t.Errorf("achieved L0 is %v, want %v within a fifth", l0, target)
	}
	compareCoder(t, x, m.x[:2000*2*m.d], recent, l0)
	resumeCoder(t, tr, whole, half, rows)
}

// judgement is what a crosscoder makes of the planted features.
type judgement struct{ found, sorted int }

// judge finds, for each feature, the latent whose two decoder rows lie best along it; a feature is found with a cosine above
// 0.9 in every model that has it, and sorted rightly if that latent's relative norm says which models those are.
func (m twoModels) judge(t *testing.T, c *Crosscoder) judgement {
	t.Helper()
	diff, err := c.Diff(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	cos := func(a, b []float32) float64 {
		return float64(dotPlain(a, b)) / math.Sqrt(float64(dotPlain(a, a))*float64(dotPlain(b, b))+1e-30)
	}
	var out judgement
	for i := range m.shared + m.onlyA + m.onlyB {
		a, b := m.dirA[i*m.d:(i+1)*m.d], m.dirB[i*m.d:(i+1)*m.d]
		best, at := 0.0, 0
		for j := range c.DSAE {
			v := math.Inf(1)
			if i < m.shared+m.onlyA {
				v = min(v, cos(a, c.Decoder(j, 0)))
			}
			if i < m.shared || i >= m.shared+m.onlyA {
				v = min(v, cos(b, c.Decoder(j, 1)))
			}
			if v > best {
				best, at = v, j
			}
		}
		if best <= 0.9 {
			continue
		}
		out.found++
		r := diff.Relative[at]
		switch {
		case i < m.shared && math.Abs(r-0.5) < 0.2, i >= m.shared && i < m.shared+m.onlyA && r < 0.2, i >= m.shared+m.onlyA && r > 0.8:
			out.sorted++
		}
	}
	return out
}

// compareCoder saves a coder, reads it and applies it to raw rows: error and L0 must be those of the last steps.
func compareCoder(t *testing.T, c Coder, rows []float32, recent float64, l0 L0Interval) {
	t.Helper()
	dir := t.TempDir()
	if err := c.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	again, format, err := ReadCoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	sh := again.Shape()
	if sh != c.Shape() {
		t.Errorf("read %+v from %s, saved %+v", sh, format, c.Shape())
	}
	width := sh.InSites * sh.DIn
	if sh.Target {
		width += sh.OutSites * sh.DOut
	}
	mem, err := NewMemoryRows(rows, width, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	res, err := EvaluateCoder(t.Context(), graphtest.Backend(t), again, mem, 512, 0)
	if err != nil {
		t.Fatal(err)
	}
	if res.MSE > 1.2*recent || res.MSE < recent/1.2 {
		t.Errorf("the saved coder's squared error is %v, that of the last batches %v", res.MSE, recent)
	}
	if math.Abs(res.L0-l0.Mean) > 0.1*l0.Mean {
		t.Errorf("the saved coder's L0 is %v, the last steps' %v", res.L0, l0.Mean)
	}
}

// resumeCoder goes on from a checkpoint and wants the last checkpoint's and the coder's bytes.
func resumeCoder(t *testing.T, tr *Trainer, whole folder, from string, rows Rows) {
	t.Helper()
	want := coderBytes(t, tr, whole)
	again, cursor, err := ReadCheckpoint(graphtest.Backend(t), from)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := rows.Restore(cursor); err != nil {
		t.Fatal(err)
	}
	resumed := folder{dir: t.TempDir()}
	if err := again.Train(t.Context(), rows, TrainOptions{Save: resumed.save}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(coderBytes(t, again, resumed), want) {
		t.Error("a resumed run's bytes differ from an unbroken one's")
	}
}

// coderBytes returns the bytes of the newest checkpoint and of the saved coder.
func coderBytes(t *testing.T, tr *Trainer, checkpoints folder) []byte {
	t.Helper()
	c, err := tr.Coder()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, d := range []string{checkpoints.last, dir} {
		files, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(filepath.Join(d, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Appendf(raw, "\n%s\n", f.Name())...)
		}
	}
	return all
}
