package model

import (
	"fmt"
	"math"
	"testing"

	"loupe/internal/graphtest"
)

func add(xs ...[]float32) []float32 {
	out := make([]float32, len(xs[0]))
	for _, x := range xs {
		for i := range out {
			out[i] += x[i%len(x)]
		}
	}
	return out
}

// TestResidualIsTheSumOfItsWriters: embeddings plus every attention and MLP output is the last residual stream, and
// the heads' results plus the bias are the attention output.
func TestResidualIsTheSumOfItsWriters(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, name := range []string{"gpt2", "pythia", "neox-sequential", "llama-untied", "gemma2", "olmo2", "t5-relu", "clip-quickgelu"} {
		t.Run(name, func(t *testing.T) {
			m := tiny(t, engine, name)
			s := m.Spec
			const b, seq = 2, 6
			plan := Plan{Batch: b, Seq: seq, Captures: []Capture{{Site: Site{ResidPre, 0}}, {Site: Site{ResidPost, s.Layers - 1}}}}
			for i := range s.Layers {
				for _, k := range []Kind{AttnOut, MLPOut, Result} {
					plan.Captures = append(plan.Captures, Capture{Site: Site{k, i}})
				}
				if s.Place != PreNorm {
					plan.Captures = append(plan.Captures, Capture{Site: Site{AttnSubOut, i}})
				}
			}
			out := run(t, engine, m, plan, Inputs{IDs: someIDs(5, b*seq, s.Vocab)})
			sum := values(t, out.Site(Site{ResidPre, 0}))
			for i := range s.Layers {
				sum = add(sum, values(t, out.Site(Site{AttnOut, i})), values(t, out.Site(Site{MLPOut, i})))
				heads := make([]float32, b*seq*s.DModel)
				for j, v := range values(t, out.Site(Site{Result, i})) {
					row := j / (s.Heads * s.DModel)
					heads[row*s.DModel+j%s.DModel] += v
				}
				if s.OBias {
					heads = add(heads, values(t, m.Params.Get(fmt.Sprintf("blocks.%d.b_O", i))))
				}
				site := Site{AttnOut, i}
				if s.Place != PreNorm {
					site.Kind = AttnSubOut
				}
				nearly(t, "sum of head results", heads, values(t, out.Site(site)), 1e-5)
			}
			nearly(t, "sum of writers", sum, values(t, out.Site(Site{ResidPost, s.Layers - 1})), 1e-5)
		})
	}
}

// TestRestart: a pass restarted from a layer's residual stream, or from the embeddings, equals the whole pass.
func TestRestart(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, name := range []string{"gpt2", "gemma2", "bert", "mpnet"} {
		m := tiny(t, engine, name)
		s := m.Spec
		const b, seq = 2, 6
		ids := someIDs(6, b*seq, s.Vocab)
		last := []Capture{{Site: Site{LastHidden, 0}}}
		whole := run(t, engine, m, Plan{Batch: b, Seq: seq, Captures: append(last, Capture{Site: Site{ResidPre, 1}}, Capture{Site: Site{Embed, 0}})}, Inputs{IDs: ids})
		want := values(t, whole.Site(Site{LastHidden, 0}))
		restarted := run(t, engine, m, Plan{Batch: b, Seq: seq, From: 1, Captures: last}, Inputs{IDs: ids, Input: whole.Site(Site{ResidPre, 1})})
		nearly(t, name+" from layer 1", values(t, restarted.Site(Site{LastHidden, 0})), want, 1e-5)
		embedded := run(t, engine, m, Plan{Batch: b, Seq: seq, Embeds: true, Captures: last}, Inputs{IDs: ids, Input: whole.Site(Site{Embed, 0})})
		nearly(t, name+" from embeddings", values(t, embedded.Site(Site{LastHidden, 0})), want, 1e-5)
		stopped := run(t, engine, m, Plan{Batch: b, Seq: seq, To: 1, Captures: []Capture{{Site: Site{MLPOut, 0}}}}, Inputs{IDs: ids})
		if got := values(t, stopped.Site(Site{MLPOut, 0})); len(got) != b*seq*s.DModel {
			t.Errorf("%s stopped after a layer: %d values", name, len(got))
		}
	}
}

// TestReductions compares gathered, mean and moment captures with the same sums on the host.
func TestReductions(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "bert")
	const b, seq = 3, 5
	d := m.Spec.DModel
	site := Site{ResidPost, 1}
	mask := []int32{1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0}
	plan := Plan{Batch: b, Seq: seq, Gather: 2}
	for _, r := range []Reduce{Whole, Gathered, TokenMean, Moments} {
		plan.Captures = append(plan.Captures, Capture{site, r})
	}
	at := []int32{0, 4, 1, 2, 0, 1}
	out := run(t, engine, m, plan, Inputs{IDs: someIDs(8, b*seq, m.Spec.Vocab), Mask: mask, Gather: at})
	x := values(t, out.Site(site))
	var gathered, mean, sum []float32
	cross := make([]float64, d*d)
	sums, count := make([]float64, d), 0.0
	for r := range b {
		for p := range 2 {
			i := (r*seq + int(at[r*2+p])) * d
			gathered = append(gathered, x[i:i+d]...)
		}
		rowSum, n := make([]float64, d), 0.0
		for c := range seq {
			if mask[r*seq+c] == 0 {
				continue
			}
			v := x[(r*seq+c)*d:][:d]
			n++
			for i := range d {
				rowSum[i] += float64(v[i])
				for j := range d {
					cross[i*d+j] += float64(v[i]) * float64(v[j])
				}
			}
		}
		count += n
		for i := range d {
			mean = append(mean, float32(rowSum[i]/n))
			sums[i] += rowSum[i]
		}
	}
	for _, v := range sums {
		sum = append(sum, float32(v))
	}
	cross32 := make([]float32, d*d)
	for i, v := range cross {
		cross32[i] = float32(v)
	}
	nearly(t, "gathered", values(t, out.Capture(Capture{site, Gathered})), gathered, 1e-6)
	nearly(t, "mean", values(t, out.Capture(Capture{site, TokenMean})), mean, 1e-5)
	n, s, c := out.Moments(site)
	nearly(t, "count", values(t, n), []float32{float32(count)}, 0)
	nearly(t, "sum", values(t, s), sum, 1e-5)
	nearly(t, "cross", values(t, c), cross32, 1e-5)
}

// TestRelativeBuckets pins the edges of T5's buckets (32 buckets, distance 128), computed by hand from the formula.
func TestRelativeBuckets(t *testing.T) {
	r := RelBias{Buckets: 32, MaxDistance: 128}
	for distance, want := range map[int]int{0: 0, -1: 1, -7: 7, -8: 8, -11: 8, -12: 9, -127: 15, -128: 15, -1000: 15, 1: 17, 7: 23, 8: 24, 128: 31} {
		if got := r.bucket(distance); got != want {
			t.Errorf("bucket(%d) = %d, want %d", distance, got, want)
		}
	}
}

// TestLlama3Frequencies: the three regimes of the scaling, by hand, for theta = 1 (every wavelength is 2 pi).
func TestLlama3Frequencies(t *testing.T) {
	base := Rope{Theta: 1, Dim: 2, Type: "llama3", Factor: 8, LowFreq: 1, HiFreq: 4}
	for _, test := range []struct{ orig, want float64 }{
		{100, 1},                         // wavelength 6.28 < 100/4: kept
		{5, 0.125},                       // wavelength 6.28 > 5/1: divided by 8
		{4 * math.Pi, (2.0/3)/8 + 1.0/3}, // 4 pi / 2 pi = 2: smooth = (2-1)/(4-1)
	} {
		r := base
		r.OrigMax = test.orig
		if got := float64(r.frequencies()[0]); math.Abs(got-test.want) > 1e-6 {
			t.Errorf("original length %v: frequency %v, want %v", test.orig, got, test.want)
		}
	}
}
