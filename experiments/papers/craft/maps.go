package craft

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
)

// maps asks where in a held-out text the concept of a topic is written: the topic's sentence is a span, and the map of its
// concept is carried back to the tokens' embeddings.
func (u *subject) maps(ctx context.Context, s *study.Session) error {
	c := u.cfg
	left := make([]int, len(c.Topics))
	for k := range left {
		left[k] = c.Mapped
	}
	share := map[string][]float64{}
	var text []int
	for i := range u.held.text {
		for _, topic := range u.held.topics[i] {
			if left[topic] == 0 {
				continue
			}
			left[topic]--
			if err := u.mapOne(ctx, i, topic, share); err != nil {
				return err
			}
			text = append(text, i)
		}
	}
	t := report.Table{
		Caption: fmt.Sprintf("Share of the absolute map of a topic's concept, over %d sentences in their texts", len(text)),
		Columns: []report.Column{{Name: "map"}, {Name: "on the topic's sentence"}, {Name: "on the topic's word, of the sentence's"}},
	}
	for _, m := range []struct{ name, in, on string }{
		{"input tokens, implicit differentiation", "input.sentence", "input.word"}, {"same layer, implicit differentiation", "", "layer.word"}, {"another topic's concept", "other.sentence", "other.word"}, {"tokens, evenly", "even.sentence", "even.word"},
	} {
		cells := []any{m.name}
		for _, name := range []string{m.in, m.on} {
			if name == "" {
				cells = append(cells, nil)
				continue
			}
			i, err := lab.MeanOver(ctx, share[name], text, c.Seed)
			if err != nil {
				return err
			}
			s.Interval("map."+name, i)
			cells = append(cells, lab.Cell(i))
		}
		t.Rows = append(t.Rows, cells)
	}
	over, err := lab.MeanOver(ctx, lab.Minus(share["input.word"], share["even.word"]), text, c.Seed)
	if err != nil {
		return err
	}
	s.Interval("map.word_over_even", over)
	s.Value("map.sum_gap", largest(share["layer.gap"]))
	s.Table("maps", t)
	return nil
}

// mapOne adds the shares of one topic's sentence of a text.
func (u *subject) mapOne(ctx context.Context, text, topic int, share map[string][]float64) error {
	on, word := u.held.topic[text], u.held.word[text]
	var span vectors.Span
	for at, k := range on {
		if k == topic {
			if span.To == 0 {
				span.From = at
			}
			span.To = at + 1
		}
	}
	if span.To == 0 {
		return fmt.Errorf("text %d has no token of topic %s", text, u.cfg.Topics[topic])
	}
	_, d := u.held.late[text].Dims()
	tokens := u.held.late[text].Slice(span.From, span.To, 0, d).(*mat.Dense)
	means, err := vectors.SpanMeans([]*mat.Dense{tokens}, []vectors.Span{{Text: 0, From: 0, To: span.To - span.From}})
	if err != nil {
		return err
	}
	concepts := u.craft.Concepts
	pull, err := u.pullback(text, span)
	if err != nil {
		return err
	}
	add := func(name string, scores []float64) {
		inside, all, hit := 0.0, 0.0, 0.0
		for at, v := range scores {
			all += math.Abs(v)
			if at >= span.From && at < span.To {
				inside += math.Abs(v)
				if word[at] {
					hit += math.Abs(v)
				}
			}
		}
		share[name+".sentence"] = append(share[name+".sentence"], ratio(inside, all))
		share[name+".word"] = append(share[name+".word"], ratio(hit, inside))
	}
	codes, err := concepts.Encode(ctx, means)
	if err != nil {
		return err
	}
	here := u.partner[topic]
	input, err := concepts.InputMap(ctx, means.RawRowView(0), here, pull)
	if err != nil {
		return err
	}
	add("input", input)
	other, err := concepts.InputMap(ctx, means.RawRowView(0), u.partner[(topic+1)%len(u.cfg.Topics)], pull)
	if err != nil {
		return err
	}
	add("other", other)
	layer, err := concepts.TokenMap(ctx, tokens)
	if err != nil {
		return err
	}
	whole, sum := make([]float64, len(on)), 0.0
	for at := range span.To - span.From {
		whole[span.From+at] = layer.At(at, here)
		sum += layer.At(at, here)
	}
	add("layer", whole)
	share["layer.gap"] = append(share["layer.gap"], math.Abs(sum-codes.At(0, here)))
	even := make([]float64, len(on))
	for at := range even {
		even[at] = 1
	}
	add("even", even)
	return nil
}

// ratio is 0 where there is nothing to share out, as for a concept that the span does not hold.
func ratio(part, all float64) float64 {
	if all == 0 {
		return 0
	}
	return part / all
}

// pullback carries a derivative of a span's mean back to the token embeddings of its text.
func (u *subject) pullback(text int, span vectors.Span) (vectors.Pullback, error) {
	e, err := u.lab.Tokenizer.Encode(u.held.text[text], token.EncodeOptions{AddSpecial: true})
	if err != nil {
		return nil, err
	}
	first := 0
	if u.held.edges[text][0] != nil {
		first = 1
	}
	longest := 0
	for _, on := range u.held.topic {
		longest = max(longest, (len(on)+2+7)/8*8)
	}
	return func(ctx context.Context, v []float64) ([]float64, error) {
		return u.pull(ctx, e, longest, first, len(u.held.topic[text]), span, v)
	}, nil
}

func (u *subject) pull(ctx context.Context, e token.Encoding, seq, first, tokens int, span vectors.Span, v []float64) (out []float64, err error) {
	spec, d := u.lab.Model.Spec, u.lab.Model.Spec.DModel
	target, embed := model.Site{Kind: model.ResidPost, Layer: u.cfg.Layer - 1}, model.Site{Kind: model.Embed}
	program, err := u.lab.Engine.Compile(spec, model.Plan{
		Batch: 1, Seq: seq, To: u.cfg.Layer, Captures: []model.Capture{{Site: embed}}, Objective: model.SiteDot(spec, target, 1, seq), GradSites: []model.Site{embed},
	})
	if err != nil {
		return nil, err
	}
	weights := make([]float32, seq*d)
	for at := span.From; at < span.To; at++ {
		for j, w := range v {
			weights[(first+at)*d+j] = float32(w / float64(span.To-span.From))
		}
	}
	in := lab.Pack([]token.Encoding{e}, 1, seq)
	w := tensors.FromFlatDataAndDimensions(weights, 1, seq, d)
	defer func() { err = errors.Join(err, w.FinalizeAll()) }()
	in.Objective = map[string]*tensors.Tensor{"weights": w}
	got, err := program.Run(ctx, u.lab.Model.Params, in)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, got.Free()) }()
	x, err := tensors.CopyFlatData[float32](got.Site(embed))
	if err != nil {
		return nil, err
	}
	g, err := tensors.CopyFlatData[float32](got.Grad(embed))
	if err != nil {
		return nil, err
	}
	out = make([]float64, tokens)
	for at := range out {
		for j := range d {
			p := (first+at)*d + j
			out[at] += float64(x[p]) * float64(g[p])
		}
	}
	return out, nil
}

func largest(v []float64) float64 {
	most := 0.0
	for _, e := range v {
		most = max(most, e)
	}
	return most
}
