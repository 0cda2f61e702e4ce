package model

import (
	"math"
	"testing"

	"loupe/internal/graphtest"
)

// norm computes a model's norm of one vector in float64: its divisor, the vector over it, and the result with weights.
func (s *Spec) norm(x, w, b []float32) (scale float64, normalized, out []float32) {
	n := float64(len(x))
	mean, sum := 0.0, 0.0
	if s.Norm == LayerNorm {
		for _, v := range x {
			mean += float64(v) / n
		}
	}
	for _, v := range x {
		sum += (float64(v) - mean) * (float64(v) - mean) / n
	}
	scale = math.Sqrt(sum + s.NormEps)
	for i, v := range x {
		z := (float64(v) - mean) / scale
		normalized = append(normalized, float32(z))
		switch s.Norm {
		case LayerNorm:
			z = z*float64(w[i]) + float64(b[i])
		case RMSNormOne:
			z *= 1 + float64(w[i])
		default:
			z *= float64(w[i])
		}
		out = append(out, float32(z))
	}
	return scale, normalized, out
}

// TestNormSites computes every norm's three sites by hand from what the norm reads.
func TestNormSites(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, name := range []string{"gpt2", "pythia", "llama-untied", "gemma2", "olmo2", "bert", "t5-relu"} {
		t.Run(name, func(t *testing.T) {
			m := tiny(t, engine, name)
			s, last := m.Spec, m.Spec.Layers-1
			// what each norm reads
			type place struct {
				from  Site
				kinds [3]Kind // scale, normalized, out
				param string
				layer int
			}
			var places []place
			switch s.Place {
			case PostNorm:
				places = append(places, place{Site{ResidMid, last}, ln1Sites, blockName(last, "ln1"), last}, place{Site{ResidPost, last}, ln2Sites, blockName(last, "ln2"), last})
			case OutputNorm:
			default:
				second := Site{ResidMid, last}
				if s.Parallel {
					second.Kind = ResidPre
				}
				places = append(places, place{Site{ResidPre, last}, ln1Sites, blockName(last, "ln1"), last}, place{second, ln2Sites, blockName(last, "ln2"), last})
			}
			if s.FinalNorm {
				places = append(places, place{Site{ResidPost, last}, [3]Kind{LNFinalScale, LNFinalNormalized, LNFinalOut}, "ln_final", 0})
			}
			const b, seq = 2, 5
			plan := Plan{Batch: b, Seq: seq}
			for _, p := range places {
				plan.Captures = append(plan.Captures, Capture{Site: p.from})
				for _, k := range p.kinds {
					plan.Captures = append(plan.Captures, Capture{Site: Site{k, p.layer}})
				}
			}
			out := run(t, engine, m, plan, Inputs{IDs: someIDs(8, b*seq, s.Vocab)})
			d := s.DModel
			for _, p := range places {
				x, w := values(t, out.Site(p.from)), values(t, m.Params.Get(p.param+".w"))
				var bias []float32
				if s.Norm == LayerNorm {
					bias = values(t, m.Params.Get(p.param+".b"))
				}
				var scales, normalized, result []float32
				for r := range b * seq {
					scale, z, y := s.norm(x[r*d:(r+1)*d], w, bias)
					scales, normalized, result = append(scales, float32(scale)), append(normalized, z...), append(result, y...)
				}
				for i, want := range [][]float32{scales, normalized, result} {
					site := Site{p.kinds[i], p.layer}
					nearly(t, site.String(), values(t, out.Site(site)), want, 1e-5)
				}
			}
		})
	}
}

// TestScoresAndMLPIn holds two sites against the sites beside them: the softmax of the scores is the pattern, hidden keys
// have the score of none, and the MLP reads the norm before it.
func TestScoresAndMLPIn(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, test := range []struct {
		name string
		from Kind // what the MLP reads
	}{{"gpt2", LN2Out}, {"pythia", LN2Out}, {"gemma2", LN2Out}, {"olmo2", ResidMid}, {"bert", LN1Out}, {"t5-gated-gelu", LN2Out}} {
		t.Run(test.name, func(t *testing.T) {
			m := tiny(t, engine, test.name)
			const b, seq, layer = 2, 6, 1
			sites := []Site{{Scores, layer}, {Pattern, layer}, {MLPIn, layer}, {test.from, layer}}
			plan := Plan{Batch: b, Seq: seq}
			for _, s := range sites {
				plan.Captures = append(plan.Captures, Capture{Site: s})
			}
			mask := []int32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}
			out := run(t, engine, m, plan, Inputs{IDs: someIDs(9, b*seq, m.Spec.Vocab), Mask: mask})
			nearly(t, "mlp.hook_in", values(t, out.Site(sites[2])), values(t, out.Site(sites[3])), 0)

			scores, pattern := values(t, out.Site(sites[0])), values(t, out.Site(sites[1]))
			want := make([]float32, len(scores))
			for row := range len(scores) / seq {
				r, q := row/(m.Spec.Heads*seq), row%seq
				line, sum := scores[row*seq:(row+1)*seq], 0.0
				top := math.Inf(-1)
				for _, v := range line {
					top = math.Max(top, float64(v))
				}
				for _, v := range line {
					sum += math.Exp(float64(v) - top)
				}
				for k, v := range line {
					want[row*seq+k] = float32(math.Exp(float64(v)-top) / sum)
					hidden := mask[r*seq+k] == 0 || m.Spec.Causal && k > q
					if hidden != (v < masked/2) && (m.Spec.Window == nil || m.Spec.Window[layer] == 0) {
						t.Fatalf("row %d, query %d, key %d has the score %g", r, q, k, v)
					}
				}
			}
			nearly(t, "pattern", pattern, want, 1e-5)
		})
	}
}

// TestSentencePooling computes each pooling by hand from the last hidden state, padding on either side.
func TestSentencePooling(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	const b, seq = 3, 6
	mask := []int32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1}
	m := tiny(t, engine, "bert")
	for _, pooling := range []SentencePooling{{"mean", true}, {"cls", false}, {"max", true}, {"mean_sqrt_len", false}, {"last", true}} {
		t.Run(pooling.Mode, func(t *testing.T) {
			spec, params := *m.Spec, *m.Params
			spec.Sentence, params.spec = pooling, &spec
			plan := Plan{Batch: b, Seq: seq, Captures: []Capture{{Site: Site{Sentence, 0}}, {Site: Site{LastHidden, 0}}}}
			p, err := engine.Compile(&spec, plan)
			if err != nil {
				t.Fatal(err)
			}
			out, err := p.Run(t.Context(), &params, Inputs{IDs: someIDs(10, b*seq, spec.Vocab), Mask: mask})
			if err != nil {
				t.Fatal(err)
			}
			hidden, d := values(t, out.Site(Site{LastHidden, 0})), spec.DModel
			var want []float32
			for r := range b {
				want = append(want, poolByHand(pooling, hidden[r*seq*d:(r+1)*seq*d], mask[r*seq:(r+1)*seq])...)
			}
			nearly(t, "sentence", values(t, out.Site(Site{Sentence, 0})), want, 1e-5)
		})
	}
}

// poolByHand pools the rows [t,d] of real tokens.
func poolByHand(pooling SentencePooling, rows []float32, mask []int32) []float32 {
	mode, d := pooling.Mode, len(rows)/len(mask)
	out := make([]float64, d)
	count := 0.0
	for i, real := range mask {
		if real == 0 {
			continue
		}
		for j, v := range rows[i*d : (i+1)*d] {
			x := float64(v)
			switch {
			case mode == "mean" || mode == "mean_sqrt_len":
				out[j] += x
			case mode == "last", count == 0:
				out[j] = x // the first so far, or the latest
			case mode == "max":
				out[j] = math.Max(out[j], x)
			}
		}
		count++
	}
	length := 0.0
	for j := range out {
		switch mode {
		case "mean":
			out[j] /= count
		case "mean_sqrt_len":
			out[j] /= math.Sqrt(count)
		}
		length += out[j] * out[j]
	}
	result := make([]float32, d)
	for j, v := range out {
		if pooling.Normalize {
			v /= math.Sqrt(length)
		}
		result[j] = float32(v)
	}
	return result
}

// TestLogitsAtPositions compares logits at chosen positions with those at all.
func TestLogitsAtPositions(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, name := range []string{"gpt2", "gemma2"} {
		m := tiny(t, engine, name)
		const b, seq, p = 2, 6, 3
		in := Inputs{IDs: someIDs(11, b*seq, m.Spec.Vocab)}
		all := values(t, run(t, engine, m, Plan{Batch: b, Seq: seq, Logits: LogitsAll}, in).Logits())
		in.Gather = []int32{5, 0, 2, 1, 1, 4}
		got := values(t, run(t, engine, m, Plan{Batch: b, Seq: seq, Logits: LogitsAt, Gather: p}, in).Logits())
		var want []float32
		for i, at := range in.Gather {
			row := i/p*seq + int(at)
			want = append(want, all[row*m.Spec.Vocab:(row+1)*m.Spec.Vocab]...)
		}
		nearly(t, name, got, want, 1e-6)
	}
}
