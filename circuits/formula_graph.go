package circuits

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Formula is minus an expression over the next-token distribution, which the model's behaviour makes large:
//
//	logit(answer) - logit(wrong)                    is LogitDiff
//	prob(answer) - prob(wrong)                      is ProbDiff
//	max(logit(' Paris'), logit(' Rome')) - logit(answer) / 2
//
// with logit, prob and logprob (the natural logarithm of prob) of a token, exp, log, max and min of two, + - * / and numbers. A token is answer or
// wrong, the row's own (of several the mean logit, and the sum of the probabilities), or a text in quotes, which id turns into one token of
// the model; id may be nil when there is none. One program serves all tokenizers: ids are run-time inputs. A formula that names no token, two texts
// that are one token, and anything that does not parse are errors, the last with its position.
func Formula(expression string, id func(text string) (int32, error)) (Metric, error) {
	f, err := parseFormula(expression)
	if err != nil {
		return Metric{}, err
	}
	var texts []string
	var ids []int32
	m := Metric{Name: "formula: " + expression}
	names := f.tokens()
	for _, name := range names {
		if name[0] != '\'' {
			continue
		}
		if id == nil {
			return Metric{}, fmt.Errorf("circuits: formula %q names the token %q and nothing tells its id", expression, name[1:])
		}
		token, err := id(name[1:])
		if err != nil {
			return Metric{}, fmt.Errorf("circuits: formula %q: token %q: %w", expression, name[1:], err)
		}
		if same := slices.Index(ids, token); same >= 0 {
			return Metric{}, fmt.Errorf("circuits: formula %q: %q and %q are the same token %d, so the metric cannot tell them apart", expression, texts[same], name[1:], token)
		}
		if token < 0 {
			return Metric{}, fmt.Errorf("circuits: formula %q: token %q has the id %d", expression, name[1:], token)
		}
		texts, ids = append(texts, name[1:]), append(ids, token)
	}
	if len(ids) > 0 {
		m.Constants = map[string]*tensors.Tensor{"tokens": tensors.FromFlatDataAndDimensions(ids, len(ids))}
		m.tokens = ids
	}
	var bad float32
	if slices.Contains(names, "wrong") {
		bad = -1
	}
	if bad != 0 || slices.Contains(names, "answer") {
		m.weigh = func(right, wrong int) (float32, float32) { return 1 / float32(right), bad / float32(max(wrong, 1)) }
	}
	m.Graph = func(in MetricInputs) *Node {
		return Neg(BroadcastToDims(f.graph(in, texts), in.X.Shape().Dimensions[0]))
	}
	return m, nil
}

// graph returns the value [b] of the formula, or a scalar where it does not depend on the row; texts are the literals in the order of their ids.
func (f *formula) graph(in MetricInputs, texts []string) *Node {
	of := make([]*Node, len(f.of))
	for i, x := range f.of {
		of[i] = x.graph(in, texts)
	}
	switch f.op {
	case "number":
		return Scalar(in.X.Graph(), dtypes.Float32, f.value)
	case "logit":
		return f.read(in.X, in, texts)
	case "prob":
		return f.read(Softmax(in.X, -1), in, texts)
	case "logprob":
		if f.token[0] == '\'' {
			return f.read(LogSoftmax(in.X, -1), in, texts)
		}
		return f.logTotal(in)
	case "exp":
		return Exp(of[0])
	case "log":
		return Log(of[0])
	case "neg":
		return Neg(of[0])
	case "max":
		return Max(of[0], of[1])
	case "min":
		return Min(of[0], of[1])
	case "+":
		return Add(of[0], of[1])
	case "-":
		return Sub(of[0], of[1])
	case "*":
		return Mul(of[0], of[1])
	}
	return Div(of[0], of[1])
}

// read returns what x [b,v] says of the formula's token, [b].
func (f *formula) read(x *Node, in MetricInputs, texts []string) *Node {
	if f.token[0] == '\'' {
		at := Slice(in.Constant("tokens"), AxisElem(slices.Index(texts, f.token[1:]))) // [1]
		rows := in.X.Shape().Dimensions[0]
		return weighted(x, MetricInputs{Tokens: BroadcastToDims(ExpandAxes(at, 0), rows, 1), Weights: Ones(x.Graph(), shapes.Make(dtypes.Float32, rows, 1))})
	}
	own := f.own(in)
	if f.op == "prob" {
		own = ConvertDType(GreaterThan(own, ZerosLike(own)), dtypes.Float32)
	}
	return weighted(x, MetricInputs{Tokens: in.Tokens, Weights: own})
}

// own is in.Weights of the answer's tokens alone, or of the wrong ones, positive.
func (f *formula) own(in MetricInputs) *Node {
	if f.token == "wrong" {
		return MaxScalar(Neg(in.Weights), 0)
	}
	return MaxScalar(in.Weights, 0)
}

// logTotal is the logarithm of the probabilities' sum over the row's tokens, [b].
func (f *formula) logTotal(in MetricInputs) *Node {
	all := LogSoftmax(in.X, -1)
	rows, k := in.Tokens.Shape().Dimensions[0], in.Tokens.Shape().Dimensions[1]
	var terms []*Node
	for i := range k {
		one := MetricInputs{Tokens: Slice(in.Tokens, AxisRange(), AxisRange(i, i+1)), Weights: Ones(in.X.Graph(), shapes.Make(dtypes.Float32, rows, 1))}
		terms = append(terms, weighted(all, one))
	}
	x, own := Stack(terms, -1), f.own(in)
	x = Where(GreaterThan(own, ZerosLike(own)), x, MulScalar(OnesLike(x), -1e9))
	top := StopGradient(ReduceAndKeep(x, ReduceMax, -1))
	return Add(Squeeze(top, -1), Log(ReduceSum(Exp(Sub(x, top)), -1)))
}
