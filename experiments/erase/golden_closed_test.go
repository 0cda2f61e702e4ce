package erase_test

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
)

// targets are W g for the rows of g.
func targets(g, w *mat.Dense) *mat.Dense {
	var y mat.Dense
	y.Mul(g, w.T())
	return &y
}

func (g *golden) uce() {
	r := erase.Request{Concepts: g.matrix("c"), Anchors: g.matrix("guide"), Preserve: g.matrix("preserve"), HeldOut: g.matrix("heldout")}
	cfg := erase.UCEConfig{Lambda: g.float("lambda"), EraseScale: g.float("erase_scale"), PreserveScale: g.float("preserve_scale")}
	edit := must[*erase.Edit](g)(erase.UCE(r, cfg))
	g.sameMatrix("E", edit.Matrix())
	for i, w := range g.numbered() {
		name := fmt.Sprintf("W%d.", i)
		replaced := must[*mat.Dense](g)(edit.Weights(w))
		g.sameMatrix(name+"replace", replaced)
		g.errors(name+"replace.", must[erase.Errors](g)(erase.Measure(w, replaced, targets(r.Anchors, w), r)))
		tensor := must[*erase.TensorEdit](g)(erase.UCETensor(w, r, cfg))
		g.sameMatrix(name+"tensor", tensor.Weights)
		g.errors(name+"tensor.", must[erase.Errors](g)(erase.Measure(w, tensor.Weights, tensor.Targets, r)))
	}
	attack := must[*erase.Inverse](g)(edit.Invert(r.Concepts))
	g.sameMatrix("inverse_attack_x", attack.X)
	g.same("inverse_attack_norm_ratio", attack.NormRatio)
	g.scalar("cond_E", attack.Condition)
	g.scalar("logdet_abs_E", attack.LogDet)
	g.scalar("sign_det_E", attack.Sign)
	g.scalar("rank_E_minus_I", float64(attack.Rank))
	var all *erase.Map
	n, d := r.Concepts.Dims()
	for i := range n {
		one := r
		one.Concepts, one.Anchors = r.Concepts.Slice(i, i+1, 0, d).(*mat.Dense), r.Anchors.Slice(i, i+1, 0, d).(*mat.Dense)
		m := must[*erase.Edit](g)(erase.UCE(one, cfg)).Map
		if all == nil {
			all = m
		} else {
			all = must[*erase.Map](g)(all.Then(m))
		}
	}
	g.sameMatrix("E_sequential", all.Matrix())
}

func (g *golden) errors(prefix string, e erase.Errors) {
	g.scalar(prefix+"erased_rel_err", e.Erased)
	g.scalar(prefix+"preserve_drift", e.Preserve)
	g.scalar(prefix+"heldout_drift", e.HeldOut)
}

func (g *golden) rece() {
	r := erase.Request{Concepts: g.matrix("c"), Anchors: g.matrix("guide"), Preserve: g.matrix("preserve")}
	cfg := erase.RECEConfig{
		UCE:        erase.UCEConfig{Lambda: g.float("l"), EraseScale: g.float("e"), PreserveScale: g.float("s")},
		Derivation: erase.Derivation{Regulariser: erase.RegZero, Reg: g.float("reg")}, Epochs: g.int("epochs"),
	}
	w := g.numbered()
	gram := must[*mat.SymDense](g)(erase.Gram(w...))
	g.sameMatrix("S", mat.DenseCopyOf(gram))
	_, d := r.Concepts.Dims()
	for mode, s := range map[string]*mat.SymDense{"gram": gram, "identity_gram": erase.IdentityGram(d)} {
		edit := must[*erase.RECEEdit](g)(erase.RECE(g.Context(), r, s, cfg))
		for i, epoch := range edit.Epochs {
			g.sameMatrix(fmt.Sprintf("%s.epoch%d.derived", mode, i), epoch.Derived)
			g.sameMatrix(fmt.Sprintf("%s.epoch%d.E", mode, i), epoch.Map.Matrix())
		}
		if mode != "gram" {
			continue
		}
		var recovery []float64
		for i, epoch := range edit.Epochs {
			recovery = append(recovery, epoch.Recovery)
			g.sameMatrix(fmt.Sprintf("kv.epoch%d.derived", i), epoch.Derived)
			for k, m := range w {
				g.sameMatrix(fmt.Sprintf("kv.epoch%d.W%d", i, k), must[*mat.Dense](g)(epoch.Map.Weights(m)))
			}
		}
		const name = "recovery_error_before_each_epoch"
		g.near(name, recovery, decode[[]float64](g, g.Scalars, name))
		for _, regulariser := range []string{erase.RegStandard, erase.RegSurrogate} {
			how := erase.Derivation{Regulariser: regulariser, Reg: cfg.Derivation.Reg}
			g.sameMatrix(regulariser+".derived_epoch0", must[*mat.Dense](g)(erase.Derive(edit.Start.Map, s, r.Concepts, r.Concepts, how)))
		}
	}
}

func (g *golden) trce() {
	malicious, safe, first := g.matrices("malicious"), g.matrices("safe"), g.ints("first_eot")
	w := g.matrix("W")
	scale := decode[[]float64](g, g.Config, "scale")
	cfg := erase.TRCEConfig{SoT: scale[0], FirstEOT: scale[1], LastEOT: scale[2], PriorScale: g.float("eta"), Lambda: g.float("lambda")}
	prior := &erase.Prior{Sum: symmetric(g.matrix("prior_moment")), Count: g.int("prior_count")}
	var pairs []erase.TRCEPair
	var from, to []float64
	for i := range malicious {
		pairs = append(pairs, erase.TRCEPair{Malicious: malicious[i], Safe: safe[i], FirstEOT: first[i]})
		from, to = append(from, malicious[i].RawRowView(first[i])...), append(to, safe[i].RawRowView(first[i])...)
	}
	edit := must[*erase.Edit](g)(erase.TRCE(pairs, prior, cfg))
	g.sameMatrix("E", edit.Matrix())
	after := must[*mat.Dense](g)(edit.Weights(w))
	g.sameMatrix("W_new", after)
	d := edit.Width()
	r := erase.Request{Concepts: mat.NewDense(len(pairs), d, from), Anchors: mat.NewDense(len(pairs), d, to)}
	g.scalar("first_eot_rel_err", must[erase.Errors](g)(erase.Measure(w, after, targets(r.Anchors, w), r)).Erased)
}

func (g *golden) realera() {
	mined := must[*erase.Mined](g)(erase.Mine(g.flat("e"), g.matrix("noise"), erase.Neighbourhood{Distance: g.float("D1"), MinCosine: g.float("S1"), MaxCosine: g.float("S2")}))
	g.same("distance", mined.Distance)
	g.same("cosine", mined.Cosine)
	g.sameBools("near", mined.Near)
	g.sameBools("beyond", mined.Beyond)
	count := map[bool]float64{}
	for _, near := range mined.Near {
		count[near]++
	}
	g.scalar("n_near", count[true])
	count = map[bool]float64{}
	for _, beyond := range mined.Beyond {
		count[beyond]++
	}
	g.scalar("n_beyond", count[true])
	prior := &erase.Prior{Sum: symmetric(g.matrix("prior_moment")), Count: 1} // the case weighs the sum itself
	edit := must[*erase.Edit](g)(erase.RealEra(mined, g.flat("anchor"), prior, erase.RealEraConfig{Beta: g.float("beta"), PriorScale: g.float("gamma")}))
	g.sameMatrix("E", edit.Matrix())
	g.sameMatrix("W_new", must[*mat.Dense](g)(edit.Weights(g.matrix("W"))))
}

func symmetric(m *mat.Dense) *mat.SymDense {
	d, _ := m.Dims()
	return mat.NewSymDense(d, flatten(m))
}
