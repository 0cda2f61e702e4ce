package circuits

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// noRome resolves two texts of a vocabulary of four.
func noRome(text string) (int32, error) {
	if i := slices.Index([]string{" Paris", " Rome"}, text); i >= 0 {
		return int32(i), nil
	}
	return 0, errors.New("it is no single token")
}

// TestFormulaByHand: one row of logits log(1, 2, 3, 4), so probabilities .1 .2 .3 .4; the answers are tokens 2 and 3 and the wrong one token
// 1; ' Paris' is token 0 and ' Rome' token 1. Gradients against finite differences of the same program.
func TestFormulaByHand(t *testing.T) {
	backend := graphtest.Interpreted(t)
	x := []float32{0, float32(math.Log(2)), float32(math.Log(3)), float32(math.Log(4))}
	pairs := &Pairs{Rows: 1, Seq: 1, Clean: []int32{0}, Corrupted: []int32{1}, Answer: [][]int32{{2, 3}}, Wrong: [][]int32{{1}}}
	mean := (math.Log(3) + math.Log(4)) / 2
	for expression, want := range map[string]float64{
		"logit(answer)-logit(wrong)":                          mean - math.Log(2),
		"prob(answer) - prob(wrong)":                          .7 - .2,
		"logprob(answer)":                                     math.Log(.7),
		`logprob(' Paris') - logprob(" Rome")`:                math.Log(.1) - math.Log(.2),
		"1 - 2 - prob(wrong)*3/4":                             -1 - .2*3/4,
		"-(1 + -prob(' Rome')) / 2e-1":                        -.8 / .2,
		"max(prob(' Paris'), prob(wrong)) + exp(log(0.5))":    .2 + .5,
		"min(logit(answer), log(prob(' Paris')/prob(wrong)))": math.Log(.5),
	} {
		m := must[Metric](t)(Formula(expression, noRome))
		b := must[*binding](t)(m.bind(pairs, 4))
		k := max(b.k, 1)
		names := must[*graph.Exec](t)(graph.NewExec(backend, func(x, tokens, weights, literal *graph.Node) (*graph.Node, *graph.Node) {
			loss := m.Graph(MetricInputs{X: x, Tokens: tokens, Weights: weights, Constant: func(string) *graph.Node { return literal }})
			return loss, graph.Gradient(graph.ReduceAllSum(loss), x)[0]
		}))
		run := func(x []float32) (float64, []float64) {
			tokens, weights, literal := b.tokens, b.weights, m.tokens
			if b.k == 0 {
				tokens, weights = make([]int32, k), make([]float32, k)
			}
			if literal == nil {
				literal = []int32{0}
			}
			out := must[[]*tensors.Tensor](t)(names.Call(tensors.FromFlatDataAndDimensions(x, 1, 4), tensors.FromFlatDataAndDimensions(tokens, 1, k),
				tensors.FromFlatDataAndDimensions(weights, 1, k), tensors.FromFlatDataAndDimensions(literal, len(literal))))
			return must[[]float64](t)(floats(out[0]))[0], must[[]float64](t)(floats(out[1]))
		}
		loss, gradient := run(x)
		if math.Abs(loss+want) > 1e-5 {
			t.Errorf("%s is %g, want %g", expression, -loss, want)
		}
		const h = 1e-2
		for i, g := range gradient {
			up, down := slices.Clone(x), slices.Clone(x)
			up[i] += h
			down[i] -= h
			a, _ := run(up)
			b, _ := run(down)
			if difference := (a - b) / (2 * h); math.Abs(difference-g) > 1e-3 {
				t.Errorf("%s: gradient in logit %d is %g, finite difference %g", expression, i, g, difference)
			}
		}
	}
}

// TestFormulaErrors: each names what is wrong and where.
func TestFormulaErrors(t *testing.T) {
	for expression, want := range map[string]string{
		"":                                "position 1: expected a number",
		"logit(answer) - ":                "position 17: expected a number",
		"logit(answer":                    "position 13: expected )",
		"logit answer":                    `position 7: expected ( after logit, found "answer"`,
		"logit(other)":                    "position 7: expected answer, wrong or a token in quotes",
		"logit(' Paris)":                  "closing quote",
		"logit('')":                       "expected a token",
		"logit(answer) logit(wrong)":      "position 15: expected an operator",
		"max(logit(answer))":              "position 18: expected , before argument 2 of max",
		"sin(logit(answer))":              "position 1: expected a number, ( or one of",
		"1e999 * logit(answer)":           "position 1: expected a number that float32 holds",
		"1 + 2":                           "names no token",
		"logit(' Oslo')":                  `" Oslo": it is no single token`,
		"logit(' Rome') - logit('Rome2')": `"Rome2"`,
		strings.Repeat("(", 3000):         "at most 2000",
	} {
		if _, err := Formula(expression, noRome); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", expression, err, want)
		}
	}
	same := func(string) (int32, error) { return 3, nil }
	if _, err := Formula("logit('a') - logit('b')", same); err == nil || !strings.Contains(err.Error(), "the same token 3") {
		t.Errorf("equal tokens: %v", err)
	}
	if _, err := Formula("logit('a')", nil); err == nil || !strings.Contains(err.Error(), "nothing tells its id") {
		t.Errorf("no ids: %v", err)
	}
}

// TestFormulaTask: on the planted model formulas give the losses and the scores of the metrics that they spell; a metric that is the same on both
// inputs, or not a number, is refused.
func TestFormulaTask(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	base := plantedTask(t, engine, LogitDiff())
	pairs := base.Pairs.pick([]int{0, 1})
	for expression, metric := range map[string]Metric{"logit(answer) - logit(wrong)": LogitDiff(), "prob(answer) - prob(wrong)": ProbDiff()} {
		want := newTask(t, engine, base.Model, pairs, metric)
		got := newTask(t, engine, base.Model, pairs, must[Metric](t)(Formula(expression, nil)))
		close(t, expression, append(got.CleanLoss, got.CorruptedLoss...), append(want.CleanLoss, want.CorruptedLoss...), 1e-5)
		close(t, expression+", scores", must[*Scores](t)(EAP(t.Context(), got)).Values, must[*Scores](t)(EAP(t.Context(), want)).Values, 1e-5)
	}
	answer := func(string) (int32, error) { return pairs.Answer[0][0], nil }
	for expression, want := range map[string]string{
		"logit('x') - logit('x')":  "is the same on the clean and the corrupted input of all 2 rows",
		"log(0 - exp(logit('x')))": "needs finite losses",
	} {
		if _, err := NewTask(t.Context(), engine, base.Model, pairs, must[Metric](t)(Formula(expression, answer)), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", expression, err, want)
		}
	}
	far := func(string) (int32, error) { return 1 << 20, nil }
	if _, err := NewTask(t.Context(), engine, base.Model, pairs, must[Metric](t)(Formula("logit('x')", far)), Options{}); err == nil || !strings.Contains(err.Error(), "outside the vocabulary") {
		t.Errorf("a token outside the vocabulary: %v", err)
	}
}

// FuzzFormula: any text parses to a tree that names tokens, or is an error.
func FuzzFormula(f *testing.F) {
	for _, s := range []string{"logit(answer) - logit(wrong)", "max(prob(' a'), 1e-3)*-(2)", "log(", "'", "1e+", "((((", "prob(\"é\")"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := parseFormula(text)
		if (tree == nil || len(tree.tokens()) == 0) && err == nil {
			t.Errorf("%q gives neither a formula nor an error", text)
		}
	})
}
