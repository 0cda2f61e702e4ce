package erase_test

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
)

func (g *golden) spmGate() {
	prompts, concepts := g.matrices("prompts"), g.matrices("concepts")
	tokens, conceptTokens := g.matrixOfInts("prompt_tokens"), g.matrixOfInts("concept_tokens")
	per := g.int("per_concept")
	w, up, down, x := g.matrix("W"), g.matrix("up"), g.matrix("down"), g.matrix("x")
	var gamma, cosine, overlap, y []float64
	for i, p := range prompts {
		prompt := erase.TransportPrompt{Hidden: p, Tokens: tokens[i]}
		var gammas []float64
		var membranes []erase.Membrane
		for c := range g.int("concepts") {
			var concept []erase.TransportPrompt
			for k := c * per; k < (c+1)*per; k++ {
				concept = append(concept, erase.TransportPrompt{Hidden: concepts[k], Tokens: conceptTokens[k]})
			}
			t := must[erase.Transport](g)(erase.FacilitatedTransport(prompt, concept))
			gammas, cosine, overlap = append(gammas, t.Gamma), append(cosine, t.Cosine), append(overlap, t.Overlap)
			membranes = append(membranes, erase.Membrane{Up: up.RawRowView(c), Down: down.RawRowView(c)})
		}
		gamma = append(gamma, gammas...)
		y = append(y, must[[]float64](g)(erase.Compose(w, membranes, gammas, g.float("scale"), x.RawRowView(i)))...)
	}
	g.same("gamma", gamma)
	g.same("max_cosine", cosine)
	g.same("max_token_overlap", overlap)
	g.same("y", y)
}

// matrixOfInts are the rows of a tensor along its last axis.
func (g *golden) matrixOfInts(name string) [][]int {
	shape := g.shape(name)
	return slices.Collect(slices.Chunk(g.ints(name), shape[len(shape)-1]))
}

func (g *golden) similarities() {
	cfg := erase.SimilaritiesConfig{Quantile: g.float("quantile"), Window: g.int("window"), Alpha: g.float("alpha")}
	out := must[*erase.Corrected](g)(erase.CorrectSimilarities(g.matrix("f"), decode[[]int](g, g.Config, "concept_tokens"), cfg))
	g.sameMatrix("f_corrected", out.Hidden)
	var scores []float64
	for _, s := range out.Scores {
		scores = append(scores, flatten(s)...)
	}
	g.same("scores", scores)
	g.near("tau", out.Thresholds, decode[[]float64](g, g.Scalars, "tau"))
}

func (g *golden) itd() {
	coder := &erase.TopKCoder{Encoder: g.matrix("W_enc"), Decoder: g.matrix("W_dec"), BEnc: g.flat("b_enc"), BPre: g.flat("b_pre"), K: g.int("k")}
	texts := func(name string) (out []erase.Text) {
		length := g.ints(name + ".length")
		for i, x := range g.matrices(name + ".x") {
			out = append(out, erase.Text{X: x, Length: length[i]})
		}
		return out
	}
	cfg := erase.ITDConfig{Top: g.int("top_m"), Strength: g.float("strength"), Margin: 0.99}
	e := must[*erase.ITD](g)(erase.FitITD(coder, texts("target"), texts("remain"), cfg))
	g.sameInts("features", e.Features)
	g.sameInts("target_top_union", e.Target)
	g.sameInts("remain_top_union", e.Remain)
	g.scalar("tau_max_token", e.Threshold)
	mean, padded := math.Inf(1), math.Inf(1)
	for _, name := range g.groups(`(.*)\.gated_output`) {
		var codes, output, kept, score, means, gated []float64
		var fired []bool
		for _, t := range texts(name) {
			d := must[*erase.Deactivation](g)(e.Deactivate(t))
			z := d.Codes.Dense()
			for j := range d.Codes.Features {
				codes = append(codes, mat.Max(z.ColView(j)))
			}
			e.KeepError = true
			withError := must[*erase.Deactivation](g)(e.Deactivate(t))
			e.KeepError = false
			output, kept = append(output, flatten(d.Output)...), append(kept, flatten(withError.Output)...)
			score, means = append(score, d.Score), append(means, d.MeanScore)
			if name == "target" {
				mean, padded = min(mean, d.MeanScore), min(padded, d.PaddedMean)
			}
			x, yes, err := e.Apply(t)
			if err != nil {
				g.Fatal(err)
			}
			if same := must[erase.Share](g)(erase.Identical([]*mat.Dense{t.X}, []*mat.Dense{x})); !yes && same.Hits != 1 {
				g.Errorf("%s: a text below the threshold was changed", name)
			}
			gated, fired = append(gated, flatten(x)...), append(fired, yes)
		}
		g.same(name+".codes_top", codes)
		g.same(name+".deactivated", output)
		g.same(name+".error_kept", kept)
		g.same(name+".score_max", score)
		g.same(name+".score_mean", means)
		g.sameBools(name+".fired", fired)
		g.same(name+".gated_output", gated)
	}
	g.scalar("tau_mean_token", cfg.Margin*mean)
	g.scalar("tau_mean_including_padding_legacy", cfg.Margin*padded)
}

func (g *golden) cgce() {
	c := &erase.Classifier{
		Query: g.flat("param.query"), Key: g.matrix("param.Wk"), Value: g.matrix("param.Wv"), Hidden: g.matrix("param.W1"),
		HiddenB: g.flat("param.b1"), Output: g.flat("param.w2"), OutputB: g.flat("param.b2")[0],
	}
	var logit, gradient []float64
	texts := g.matrices("x")
	for _, x := range texts {
		l, _, err := c.Logit(x)
		if err != nil {
			g.Fatal(err)
		}
		_, slope, err := c.Loss(x)
		if err != nil {
			g.Fatal(err)
		}
		if 1/(1+math.Exp(-l)) <= g.float("tau") {
			slope.Zero() // the case has a gradient only where a step is taken
		}
		logit, gradient = append(logit, l), append(gradient, flatten(slope)...)
	}
	g.same("logit", logit)
	g.same("first_gradient", gradient)
	for _, variant := range g.groups(`(.*)\.final`) {
		if variant != "normalised" && variant != "raw" {
			g.Errorf("unknown variant %q", variant)
			continue
		}
		cfg := erase.CGCEConfig{Threshold: g.float("tau"), Step: g.float("eta"), MaxSteps: g.int("max_steps"), Normalise: variant == "normalised"}
		var final, trace []float64
		var steps []int
		for _, x := range texts {
			r := must[*erase.Refinement](g)(erase.Refine([]*erase.Classifier{c}, x, cfg))
			if r.Steps == 0 && r.X != x {
				g.Error("a safe text was copied or changed")
			}
			final, steps, trace = append(final, flatten(r.X)...), append(steps, r.Steps), append(trace, r.P...)
			for range cfg.MaxSteps - r.Steps {
				trace = append(trace, r.P[r.Steps])
			}
		}
		g.same(variant+".final", final)
		g.sameInts(variant+".steps", steps)
		g.same(variant+".p_trace", trace)
	}
}

func (g *golden) hirm() {
	h := g.matrix("hidden")
	for _, test := range []struct {
		name, target, weight string
		valid                []bool
	}{{"random", "random_unit", "c_random", nil}, {"super", "super", "c_super", nil}, {"super_masked", "super", "c_super", g.bools("mask")}} {
		loss, gradient, err := erase.HiRM(h, g.matrix(test.target), g.float(test.weight), test.valid)
		if err != nil {
			g.Fatal(err)
		}
		g.scalar("loss_"+test.name, loss)
		g.sameMatrix("grad_"+test.name, gradient)
	}
}

func (g *golden) surrogates() {
	vector := must[*mat.Dense](g)(erase.RingABell(g.matrices("rab.positive"), g.matrices("rab.negative")))
	g.sameMatrix("rab.vector", vector)
	g.sameMatrix("rab.target", must[*mat.Dense](g)(erase.RingABellTarget(g.matrix("rab.prompt"), vector, g.float("rab_eta"))))
	g.sameMatrix("reader.out", must[*mat.Dense](g)(erase.ReadAttention(g.matrix("rab.prompt"), g.matrix("reader.Wk"), g.matrix("reader.Wv"), g.matrix("reader.Q"))))
	g.same("esd.target", must[[]float64](g)(erase.ESDTarget(g.flat("esd.null"), g.flat("esd.concept"), g.float("eta"))))
	in := g.matrix("simplex.in")
	n, _ := in.Dims()
	var projected []float64
	for i := range n {
		projected = append(projected, must[[]float64](g)(erase.ProjectSimplex(in.RawRowView(i)))...)
	}
	g.same("simplex.out", projected)
	for name, unit := range map[string]bool{"surgery.pcgrad": false, "surgery.doco_legacy_unit_scale": true} {
		g.same(name, must[[]float64](g)(erase.GradientSurgery(g.flat("surgery.unlearn"), g.flat("surgery.retain"), unit)))
	}
	g.same("energy.log_ratio", must[[]float64](g)(erase.EnergyLogRatio(g.matrix("energy.zA"), g.matrix("energy.zB"), 1e-6)))
}

func (g *golden) zeroShot() {
	z := must[*erase.ZeroShot](g)(erase.NewZeroShot(g.matrices("template_embeddings")))
	g.sameMatrix("prototypes", z.Prototypes)
	x, labels, erased := g.matrix("x"), g.ints("labels"), decode[[]int](g, g.Config, "erased")
	g.sameMatrix("similarity", must[*mat.Dense](g)(z.Similarity(x)))
	predictions := must[[]int](g)(z.Predict(x))
	g.sameInts("prediction", predictions)
	a := must[erase.Accuracies](g)(erase.Judge(predictions, labels, erased, g.bools("synonym")))
	for name, s := range map[string]erase.Share{"acc_e": a.Erased, "acc_s": a.Specific, "acc_g": a.General} {
		g.scalar(name, must[float64](g)(s.Rate()))
	}
	g.scalar("harmonic_3", must[float64](g)(a.Harmonic()))
	g.scalar("harmonic_2", must[float64](g)(a.HarmonicOfTwo()))
	domain := make([]int, g.int("classes"))
	for i := range domain {
		domain[i] = i % 2
	}
	grid := must[erase.GridScores](g)(erase.Grid(predictions, labels, erased[0], domain))
	for name, s := range map[string]erase.Share{"UA": grid.Unlearning, "IRA": grid.InDomain, "CRA": grid.CrossDomain} {
		g.scalar(name, must[float64](g)(s.Rate()))
	}
	g.scalar("AA", must[float64](g)(grid.Average()))
	var recognised []bool
	for i, y := range labels {
		if slices.Contains(erased, y) {
			recognised = append(recognised, predictions[i] == y)
		}
	}
	g.scalar("crr", must[float64](g)(erase.RecognitionRate(recognised)))
}

func (g *golden) attackRates() {
	r := must[erase.AttackRates](g)(erase.AttackSuccess(g.bools("pre_success"), g.bools("post_success")))
	g.scalar("pre_asr", must[float64](g)(r.Before.Rate()))
	g.scalar("asr", must[float64](g)(r.After.Rate()))
}

func (g *golden) neighbours() {
	p := must[*erase.Preservation](g)(erase.Neighbours(g.matrix("before"), g.matrix("after"), g.int("k")))
	g.sameInts("neighbours_before", slices.Concat(p.Neighbours...))
	g.same("np_cos", p.Cosine)
	g.same("overlap", p.Overlap)
}
