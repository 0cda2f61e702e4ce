package vectors_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/vectors"
)

func tinyModel(t *testing.T, name string) (*model.Engine, *model.Model) {
	t.Helper()
	s := newSubject(t, name, model.Site{Kind: model.ResidPost})
	return s.engine, s.model
}

// randomTexts draws texts of the ids 3..vocab-5, each starting with the same token.
func randomTexts(seed uint64, n, length, vocab int) [][]int32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([][]int32, n)
	for i := range out {
		out[i] = []int32{3}
		for range length - 1 {
			out[i] = append(out[i], int32(3+rng.IntN(vocab-8)))
		}
	}
	return out
}

// TestTunedLensTrains: on texts that training did not see, the trained lens of a tiny model's layer lies nearer to the final
// distribution than the logit lens; training begins at the logit lens, repeats itself, and its KL is that of the host's readings.
func TestTunedLensTrains(t *testing.T) {
	for _, name := range []string{"llama-untied", "gemma2"} { // RMS norm; with a soft cap
		engine, m := tinyModel(t, name)
		layer, last := 0, m.Spec.Layers-1
		sites := []model.Site{{Kind: model.ResidPost, Layer: layer}, {Kind: model.ResidPost, Layer: last}}
		train, err := vectors.ReadTokens(t.Context(), engine, m, randomTexts(1, 100, 12, m.Spec.Vocab), sites, 8)
		if err != nil {
			t.Fatal(err)
		}
		test, err := vectors.ReadTokens(t.Context(), engine, m, randomTexts(2, 7, 12, m.Spec.Vocab), sites, 8)
		if err != nil {
			t.Fatal(err)
		}
		lens, err := vectors.LensOf(m)
		if err != nil {
			t.Fatal(err)
		}
		cfg := vectors.DefaultTunedLens()
		cfg.Steps, cfg.Batch, cfg.Rate = 200, 64, 5e-3
		trainer, err := vectors.NewLensTrainer(engine.Backend(), lens, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		translator, losses, err := trainer.Train(t.Context(), train.Sites[0], train.Sites[1])
		if err != nil {
			t.Fatal(err)
		}
		kl := func(tr *vectors.Translator) []float64 {
			out, err := trainer.KL(t.Context(), tr, test.Sites[0], test.Sites[1])
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		before, after := kl(nil), kl(translator)
		t.Logf("%s: KL %.4f before, %.4f after, on held-out texts", name, stat.Mean(before, nil), stat.Mean(after, nil))
		if stat.Mean(after, nil) > 0.7*stat.Mean(before, nil) || losses[len(losses)-1] > losses[0] {
			t.Errorf("%s: KL %.4f by the tuned lens, %.4f by the logit lens; losses from %.4f to %.4f", name, stat.Mean(after, nil), stat.Mean(before, nil), losses[0], losses[len(losses)-1])
		}
		again, _, err := trainer.Train(t.Context(), train.Sites[0], train.Sites[1])
		if err != nil {
			t.Fatal(err)
		}
		if !mat.Equal(again.Weight, translator.Weight) {
			t.Errorf("%s: the second training gives another translator", name)
		}
		tuned := &vectors.TunedLens{Lens: lens, Translators: map[int]*vectors.Translator{layer: translator}}
		final, err := lens.Read(test.Sites[1], 1)
		if err != nil {
			t.Fatal(err)
		}
		reading, err := tuned.Read(layer, test.Sites[0], 1)
		if err != nil {
			t.Fatal(err)
		}
		host, err := vectors.KL(final, reading)
		if err != nil {
			t.Fatal(err)
		}
		for i := range host {
			if math.Abs(host[i]-after[i]) > 1e-4*(1+host[i]) { // float32 against float64
				t.Fatalf("%s: token %d: KL %v in the graph, %v on the host", name, i, after[i], host[i])
			}
		}
	}
}

// TestTunedLensGradient: one plain Adam step with beta 0 moves each weight by rate * sign(gradient); the signs and, through a second
// run with another epsilon, the sizes are those of finite differences of the host's KL.
func TestTunedLensGradient(t *testing.T) {
	const d, v, n = 4, 7, 5
	rng := rand.New(rand.NewPCG(3, 3))
	random := func(r, c int) *mat.Dense {
		m := mat.NewDense(r, c, nil)
		for i := range m.RawMatrix().Data {
			m.RawMatrix().Data[i] = rng.NormFloat64()
		}
		return m
	}
	for _, lens := range []*vectors.Lens{
		{Norm: vectors.LayerNorm, Eps: 1e-5, Gamma: mat.Row(nil, 0, random(1, d)), Beta: mat.Row(nil, 0, random(1, d)), Unembed: random(d, v), Bias: mat.Row(nil, 0, random(1, v))},
		{Norm: vectors.RMSNorm, Eps: 1e-5, Unembed: random(d, v), Softcap: 2},
		{Norm: vectors.NoNorm, Unembed: random(d, v)},
	} {
		h, final := random(n, d), random(n, d)
		// with a huge epsilon and beta 0, Adam's step is rate / eps * gradient
		cfg := vectors.TunedLensConfig{Steps: 1, Batch: n, Rate: 1e3, Eps: 1e6}
		trainer, err := vectors.NewLensTrainer(graphtest.Backend(t), lens, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		moved, _, err := trainer.Train(t.Context(), h, final)
		if err != nil {
			t.Fatal(err)
		}
		loss := func(tr *vectors.Translator) float64 {
			tuned := &vectors.TunedLens{Lens: lens, Translators: map[int]*vectors.Translator{0: tr}}
			a, err := lens.Read(final, 1)
			if err != nil {
				t.Fatal(err)
			}
			b, err := tuned.Read(0, h, 1)
			if err != nil {
				t.Fatal(err)
			}
			kl, err := vectors.KL(a, b)
			if err != nil {
				t.Fatal(err)
			}
			return floats.Sum(kl) / n
		}
		check := func(what string, got float64, nudge func(tr *vectors.Translator, by float64)) {
			t.Helper()
			side := func(by float64) float64 {
				tr := &vectors.Translator{Weight: mat.NewDense(d, d, nil), Bias: make([]float64, d)}
				nudge(tr, by)
				return loss(tr)
			}
			want := (side(1e-5) - side(-1e-5)) / 2e-5
			if gradient := -got * cfg.Eps / cfg.Rate; math.Abs(gradient-want) > 2e-4*(1+math.Abs(want)) { // float32
				t.Errorf("%s norm, %s: gradient %v, finite difference %v", lens.Norm, what, gradient, want)
			}
		}
		for i := range d {
			check("bias", moved.Bias[i], func(tr *vectors.Translator, by float64) { tr.Bias[i] += by })
			for j := range d {
				check("weight", moved.Weight.At(i, j), func(tr *vectors.Translator, by float64) { tr.Weight.Set(i, j, by) })
			}
		}
	}
}

// TestAttentionTable: every head of a windowed causal and a bidirectional model has a pattern; on a repeated text the counts of
// repeats are those of the text.
func TestAttentionTable(t *testing.T) {
	for _, name := range []string{"mistral-sliding", "bert"} {
		engine, m := tinyModel(t, name)
		ids := []int32{3, 4, 5, 6, 4, 5, 6}
		table, err := vectors.AttentionTable(t.Context(), engine, m, ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(table) != m.Spec.Layers*m.Spec.Heads {
			t.Errorf("%s: %d heads", name, len(table))
		}
		for _, h := range table {
			if h.SameN != 3 || h.InductionN != 3 || h.Entropy < 0 || h.Entropy > math.Log(7) || h.Self < 0 || h.Self > 1 || h.Previous+h.Self > 2 {
				t.Errorf("%s: %+v", name, h)
			}
		}
	}
}

// TestPromptAttribution: leaving a token out changes the target by what two passes say; the scores of integrated gradients sum to the
// change of the target, better with more points; attention x value sums to what attention adds to the logit.
func TestPromptAttribution(t *testing.T) {
	ids := []int32{3, 9, 5, 14, 7, 9}
	for name, target := range map[string]vectors.PromptTarget{ // LayerNorm with biases; RMSNorm, grouped heads with biases of q, k and v
		"gpt2": {Token: 11, Against: -1}, "qwen2": {Token: 11, Against: 6},
	} {
		engine, m := tinyModel(t, name)
		loo, err := vectors.LeaveOneOut(t.Context(), engine, m, ids, target, 4)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := vectors.NextLogits(t.Context(), engine, m, [][]int32{ids, {3, 9, 14, 7, 9}}, 4, nil)
		if err != nil {
			t.Fatal(err)
		}
		of := func(row []float32) float64 {
			v := float64(row[target.Token])
			if target.Against >= 0 {
				v -= float64(row[target.Against])
			}
			return v
		}
		if want := of(logits[0]) - of(logits[1]); math.Abs(loo.Scores[2]-want) > 1e-4 || len(loo.Scores) != len(ids) || math.Abs(loo.Target-of(logits[0])) > 1e-4 {
			t.Errorf("%s: without token 2 the target falls by %v, want %v", name, loo.Scores[2], want)
		}
		var gaps []float64
		for _, points := range []int{8, 400} {
			cfg := vectors.DefaultIG()
			cfg.Points, cfg.Tolerance = points, 1e-4
			ig, err := vectors.IntegratedGradients(t.Context(), engine, m, ids, target, cfg)
			if err != nil {
				t.Fatal(err)
			}
			gaps = append(gaps, ig.Gap)
			if math.Abs(ig.Target-loo.Target) > 1e-4 || math.Abs(floats.Sum(ig.Scores)-(ig.Target-ig.Baseline)) != ig.Gap {
				t.Errorf("%s: target %v by the path's end, %v by the prompt; gap %v", name, ig.Target, loo.Target, ig.Gap)
			}
			if size := math.Abs(ig.Target - ig.Baseline); points == 400 && ig.Gap > 2e-4*(1+size) {
				t.Errorf("%s: the scores miss the change %v of the target by %v", name, size, ig.Gap)
			}
		}
		t.Logf("%s: gaps %.3g with at most 8 points and %.3g with 400", name, gaps[0], gaps[1])
		av, err := vectors.AttendValues(t.Context(), engine, m, ids, target)
		if err != nil {
			t.Fatal(err)
		}
		if av.Gap > 1e-4*(1+math.Abs(av.Attention)) {
			t.Errorf("%s: attention adds %v to the target and misses it by %v", name, av.Attention, av.Gap)
		}
		if r, c := av.Norm.Dims(); r != m.Spec.Layers*m.Spec.Heads || c != len(ids) || mat.Min(av.Norm) < 0 {
			t.Errorf("%s: norms [%d, %d] from %v", name, r, c, mat.Min(av.Norm))
		}
	}
	engine, m := tinyModel(t, "gemma2")
	if _, err := vectors.AttendValues(t.Context(), engine, m, ids, vectors.PromptTarget{Token: 1, Against: -1}); err == nil {
		t.Error("a model with norms after attention was accepted")
	}
	if _, err := vectors.LeaveOneOut(t.Context(), engine, m, ids, vectors.PromptTarget{Token: 1, Against: 1}, 1); err == nil {
		t.Error("a token against itself was accepted")
	}
}

// TestReadTokens: rows of tokens and pooled rows are those of one whole pass, whatever the batch.
func TestReadTokens(t *testing.T) {
	engine, m := tinyModel(t, "llama-tied")
	texts := [][]int32{{3, 4, 5}, {6, 7, 8}, {8, 9, 10, 11}}
	site := model.Site{Kind: model.ResidPost, Layer: 0}
	got, err := vectors.ReadTokens(t.Context(), engine, m, texts, []model.Site{site}, 2)
	if err != nil {
		t.Fatal(err)
	}
	mean, err := vectors.ReadSites(t.Context(), engine, m, texts, []model.Site{site}, vectors.PoolMean, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	last, err := vectors.ReadSites(t.Context(), engine, m, texts, []model.Site{site}, vectors.PoolLast, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := 0
	for i, ids := range texts {
		p, err := engine.Compile(m.Spec, model.Plan{Batch: 1, Seq: len(ids), To: 1, Captures: []model.Capture{{Site: site}}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.Run(t.Context(), m.Params, model.Inputs{IDs: ids})
		if err != nil {
			t.Fatal(err)
		}
		flat, err := tensors.CopyFlatData[float32](out.Site(site))
		if err != nil {
			t.Fatal(err)
		}
		d, n := m.Spec.DModel, len(ids)
		for j := range d {
			sum := 0.0
			for k := range n {
				want := float64(flat[k*d+j])
				sum += want / float64(n)
				if math.Abs(got.Sites[0].At(row+k, j)-want) > 1e-5 || got.Text[row+k] != i {
					t.Fatalf("text %d, token %d, entry %d: %v, want %v", i, k, j, got.Sites[0].At(row+k, j), want)
				}
			}
			if math.Abs(mean[0].At(i, j)-sum) > 1e-5 || math.Abs(last[0].At(i, j)-float64(flat[(n-1)*d+j])) > 1e-5 {
				t.Fatalf("text %d: pooled entry %d is %v and %v", i, j, mean[0].At(i, j), last[0].At(i, j))
			}
		}
		row += n
	}
	if _, err := vectors.ReadTokens(t.Context(), engine, m, [][]int32{{}}, []model.Site{site}, 1); err == nil {
		t.Error("an empty text was accepted")
	}
}
