package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"loupe/probe"
)

const vectorsScript = "vectors.py"

// Vectors times probes, concept erasure and factorisation, beside vectors.py: the peer's objective, at a value that is no
// higher than the peer's.
func Vectors() Kind {
	return Kind{
		Name: "vectors", Bench: "vectors", Run: runVectors,
		Cases: func(Options) []Case {
			return []Case{
				{"loupe", []Field{{"task", "probe"}, {"n", 20000}, {"d", 768}}},
				// as a sweep over layers and concepts: 240 of the peer's fits
				{"loupe", []Field{{"task", "probe_sweep"}, {"n", 20000}, {"d", 768}, {"layers", 12}, {"concepts", 20}}},
				{"loupe", []Field{{"task", "leace_fit"}, {"n", 100000}, {"d", 768}}},
				{"loupe", []Field{{"task", "leace_store"}, {"n", 100000}, {"d", 768}}},
				{"loupe", []Field{{"task", "leace_apply"}, {"n", 100000}, {"d", 768}}},
				{"loupe", []Field{{"task", "nmf"}, {"n", 20000}, {"d", 768}, {"k", 20}, {"solver", "cd"}, {"iters", 100}}},
			}
		},
		Peers: func(c Case) []Peer {
			switch c.Get("task") {
			case "probe":
				return []Peer{{"sklearn", vectorsScript}, {"torch-lbfgs", vectorsScript}}
			case "leace_fit", "leace_apply":
				return []Peer{{"concept-erasure", vectorsScript}}
			case "nmf":
				return []Peer{{"sklearn", vectorsScript}}
			}
			return nil
		},
	}
}

// runVectors times one case.
func runVectors(ctx context.Context, o Options, c Case) ([]Field, error) {
	number := func(key string) int { n, _ := strconv.Atoi(c.Get(key)); return n }
	n, d := number("n"), number("d")
	switch task := c.Get("task"); task {
	case "probe":
		return runProbe(ctx, o, n, d)
	case "probe_sweep":
		return runProbeSweep(ctx, o, n, d, number("layers"), number("concepts"))
	case "leace_fit", "leace_store", "leace_apply":
		return runLEACE(ctx, o, task, n, d)
	case "nmf":
		return runNMF(ctx, o, n, d, number("k"))
	default:
		return nil, fmt.Errorf("bench: unknown task %q", task)
	}
}

// labelled are the peer's data but for the generator: standard normal rows, and for each concept a planted direction with
// noise.
func labelled(n, d, concepts int, seed uint64) (probe.Rows, []probe.Target) {
	r := rand.New(rand.NewPCG(seed, 0))
	x := probe.Rows{N: n, D: d, Values: make([]float32, n*d)}
	for i := range x.Values {
		x.Values[i] = float32(r.NormFloat64())
	}
	var out []probe.Target
	for c := range concepts {
		w, y := make([]float64, d), make([]bool, n)
		for j := range w {
			w[j] = r.NormFloat64() / math.Sqrt(float64(d))
		}
		for i := range y {
			s := 0.5 * r.NormFloat64()
			for j, v := range x.Row(i) {
				s += float64(v) * w[j]
			}
			y[i] = s > 0
		}
		out = append(out, probe.NewBinary(fmt.Sprint("concept ", c), y))
	}
	return x, out
}

// peerProbe is scikit-learn's LogisticRegression(C=1): no standardisation. The tolerance ends lower than its L-BFGS at tol=1e-4.
func peerProbe() probe.LogisticConfig { return probe.LogisticConfig{C: 1, Tolerance: 1e-6} }

func runProbe(ctx context.Context, o Options, n, d int) ([]Field, error) {
	x, targets := labelled(n, d, 1, 0)
	var fit probe.Linear
	took, err := repeat(ctx, o, func() error {
		fits, err := probe.Logistic(ctx, x, targets, peerProbe())
		if err == nil {
			fit = fits[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	scores, err := fit.Scores(x)
	if err != nil {
		return nil, err
	}
	right := 0.0
	for _, hit := range probe.Hits(targets[0], scores) {
		right += hit
	}
	exact := peerProbe()
	exact.Tolerance = 1e-10
	best, err := probe.Logistic(ctx, x, targets, exact)
	if err != nil {
		return nil, err
	}
	return append(secondsFields(took), Field{"evaluations", fit.Evaluations}, Field{"train_accuracy", round(right/float64(n), 4)},
		Field{"objective_above_optimum", round(fit.Objective/best[0].Objective-1, 8)}), nil
}

// runProbeSweep times all concepts of a layer, layer after layer; every layer has rows of its own.
func runProbeSweep(ctx context.Context, o Options, n, d, layers, concepts int) ([]Field, error) {
	var took []float64
	evaluations := 0
	for layer := range layers {
		x, targets := labelled(n, d, concepts, uint64(layer))
		start := time.Now()
		fits, err := probe.Logistic(ctx, x, targets, peerProbe())
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(start).Seconds())
		for _, f := range fits {
			evaluations += f.Evaluations
		}
		if o.Steps > 0 && len(took) >= o.Steps {
			break
		}
	}
	fits := len(took) * concepts
	return []Field{
		{"seconds", round(sum(took), 6)}, {"seconds_per_fit", round(sum(took)/float64(fits), 6)}, {"fits", fits}, {"evaluations_per_fit", round(float64(evaluations)/float64(fits), 2)},
	}, nil
}

// secondsFields are the fields of a case whose steps are whole repeats.
func secondsFields(took []float64) []Field {
	least := math.Inf(1)
	for _, t := range took {
		least = min(least, t)
	}
	return []Field{{"seconds", round(median(took), 6)}, {"seconds_min", round(least, 6)}, {"repeats", len(took)}}
}
