package circuits

import (
	"math"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestNoise: by hand the moments of two positions of one row; on the planted model draws have the senders' means and
// deviations, depend on the seed alone, and are the same in chunks.
func TestNoise(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(1, 1, false))
	hand := &Task{Graph: g, Pairs: &Pairs{Rows: 1, Seq: 3, Mask: []int32{1, 1, 0}}, Model: &model.Model{Spec: &model.Spec{DModel: 1}}, real: 1}
	hand.cache = &senderCache{clean: &Reference{values: []float32{1, 0, 5, 3, 0, -5, 99, 99, 99}}}
	mu, sigma, err := hand.senderMoments(t.Context())
	if err != nil || !slices.Equal(mu, []float64{2, 0, 0}) || !slices.Equal(sigma, []float64{1, 0, 5}) {
		t.Errorf("means %v, deviations %v, %v; want 2 0 0 and 1 0 5", mu, sigma, err)
	}

	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	tsk := plantedTask(t, engine, LogitDiff())
	ref := must[*Reference](t)(tsk.Reference(t.Context(), Gaussian, 3))
	again, other := must[*Reference](t)(tsk.Reference(t.Context(), Gaussian, 3)), must[*Reference](t)(tsk.Reference(t.Context(), Gaussian, 4))
	if !slices.Equal(ref.values, again.values) || slices.Equal(ref.values, other.values) {
		t.Error("noise must depend on the seed, and on nothing else")
	}
	mu, sigma, err = tsk.senderMoments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum, square float64
	n := 0
	for i, v := range ref.values {
		if k := i % len(mu); sigma[k] > 1e-3 {
			z := (float64(v) - mu[k]) / sigma[k]
			sum, square, n = sum+z, square+z*z, n+1
		} else if math.Abs(float64(v)-mu[k]) > 1e-2 {
			t.Fatalf("coordinate %d never varies, yet its noise is %g from the mean", k, float64(v)-mu[k])
		}
	}
	if m, s := sum/float64(n), math.Sqrt(square/float64(n)); math.Abs(m) > 4/math.Sqrt(float64(n)) || math.Abs(s-1) > 4/math.Sqrt(2*float64(n)) {
		t.Errorf("%d draws have mean %g and deviation %g in units of their own", n, m, s)
	}
	opt := Options{SweepRows: tsk.Pairs.Rows}
	opt.Budget = 3 * must[*Memory](t)(EstimateMemory(tsk.Model.Spec, tsk.Pairs.Rows, tsk.Pairs.Seq, opt)).Row
	small := must[*Task](t)(NewTask(t.Context(), engine, tsk.Model, tsk.Pairs, LogitDiff(), opt))
	if small.chunks == nil {
		t.Fatal("no chunks")
	}
	half := Threshold(tsk.Graph, must[*Scores](t)(EAP(t.Context(), tsk)).Mean(), 1)
	want := must[[][]float64](t)(tsk.Evaluate(t.Context(), ref, half))
	got := must[[][]float64](t)(small.Evaluate(t.Context(), must[*Reference](t)(small.Reference(t.Context(), Gaussian, 3)), half))
	close(t, "in chunks", got[0], want[0], 1e-4)
}

// TestOptimal: the constants of a circuit are better for it than means and zeros, the gradient in them is a finite difference, and
// random cuts give a reference for any circuit.
func TestOptimal(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	base := plantedTask(t, engine, LogitDiff())
	tsk := newTask(t, engine, base.Model, base.Pairs.pick([]int{0, 1, 2, 3}), KL())
	cut := must[*Circuit](t)(CircuitOf(tsk.Graph, nil))
	for _, e := range tsk.Graph.Edges() {
		cut.Keep[tsk.Graph.At(e)] = tsk.Graph.Senders[e.U] != "a1.h0"
	}
	loss := func(ref *Reference) float64 {
		t.Helper()
		return must[[]float64](t)(tsk.evaluateMeans(t.Context(), ref, cut))[0]
	}
	named := func(kind Ablation) *Reference { return must[*Reference](t)(tsk.Reference(t.Context(), kind, 1)) }
	learned := must[*Reference](t)(OptimalReference(t.Context(), tsk, OptimalConfig{Circuit: cut, Steps: 60, Rate: 0.2}))
	best, means, zero := loss(learned), loss(named(Mean)), loss(named(Zero))
	t.Logf("KL without the induction head: optimal constant %.4f, mean %.4f, zero %.4f", best, means, zero)
	if best >= means || best >= zero {
		t.Errorf("the optimal constant loses %g, the mean %g and zero %g", best, means, zero)
	}
	if u := len(tsk.Graph.Senders) * tsk.Model.Spec.DModel; !slices.Equal(learned.values[:u], learned.values[len(learned.values)-u:]) {
		t.Error("a constant differs between positions")
	}

	// the gradient in the constants against a finite difference along itself
	constants, _, err := tsk.senderMoments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mask := tile(cut.mask(), tsk.Pairs.Rows)
	at := func(h float64, way []float64) (loss float64, gradient []float64) {
		moved := slices.Clone(constants)
		for i, v := range way {
			moved[i] += h * v
		}
		gradient = make([]float64, len(moved))
		if err := tsk.constantsGradient(t.Context(), tsk.Pairs.Rows, mask, moved, &loss, gradient); err != nil {
			t.Fatal(err)
		}
		return loss, gradient
	}
	_, gradient := at(0, nil)
	length := 0.0
	for _, v := range gradient {
		length += v * v
	}
	h := 0.02 / math.Sqrt(length)
	up, _ := at(h, gradient)
	down, _ := at(-h, gradient)
	if got := (up - down) / (2 * h); math.Abs(got-length) > 0.02*length || length == 0 {
		t.Errorf("along its gradient the loss rises by %g, its square is %g", got, length)
	}

	general := named(Optimal)
	if general.Name != string(Optimal) || loss(general) >= zero {
		t.Errorf("constants of random cuts lose %g, zero %g", loss(general), zero)
	}
	curve := must[*Faithfulness](t)(MeasureFaithfulness(t.Context(), tsk, general, must[*Scores](t)(EAP(t.Context(), tsk)).Mean(), Greedy, []float64{.1, .5, 1}))
	if last := curve.Points[len(curve.Points)-1].F; math.Abs(last-1) > 1e-4 {
		t.Errorf("all edges have faithfulness %g", last)
	}
	if _, err := OptimalReference(t.Context(), tsk, OptimalConfig{}); err == nil || !strings.Contains(err.Error(), "must be positive") {
		t.Errorf("no steps: %v", err)
	}
}
