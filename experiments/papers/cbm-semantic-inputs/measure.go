package semanticinputs

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/probe"
	"loupe/vectors/bottleneck"
)

// How tokens are scored, and what directions they are scored for beside those that were learned at each correlation.
const (
	ig       = "integrated gradients"
	loo      = "leave one out"
	shuffled = "labels shuffled"
	free     = "name alone"
)

var methods = []string{ig, loo}

// audit is one text's attribution for one concept.
type audit struct {
	Method    string          `json:"method"`
	Direction string          `json:"direction"`
	Phi       float64         `json:"phi"` // of the labels that it was learned from; 0 for those that were not
	Word      string          `json:"word"`
	Mass      bottleneck.Mass `json:"mass"`
	Rival     float64         `json:"rival"` // share of the other concept's word
	// Missed and Change are what the tokens' attributions and the path's two ends differ by, and the ends' difference.
	Missed float64 `json:"missed"`
	Change float64 `json:"change"`
}

// probed is one held-out text's answer for one concept.
type probed struct {
	Phi   float64 `json:"phi"`
	Word  string  `json:"word"` // group of the text: its words
	Right float64 `json:"right"`
	Apart bool    `json:"apart"` // the text has one of the two concepts
}

type results struct {
	Audits []audit  `json:"audits"`
	Probes []probed `json:"probes"`
}

// direction is a concept's direction in the embedding, with where it comes from.
type direction struct {
	name    string
	phi     float64
	concept int
	weights []float64
}

func learned(phi float64) string { return fmt.Sprintf("learned, phi %g", phi) }

// measure learns both concepts at every correlation, and audits them on held-out texts that have both.
func (p *planted) measure(ctx context.Context, enc *bottleneck.Encoder) (results, error) {
	var out results
	train, err := embedAll(ctx, enc, p.train)
	if err != nil {
		return out, err
	}
	held, err := embedAll(ctx, enc, p.held)
	if err != nil {
		return out, err
	}
	names, err := enc.Embed(ctx, p.pair[:])
	if err != nil {
		return out, err
	}
	var directions []direction
	for concept := range 2 {
		directions = append(directions, direction{free, 0, concept, names.RawRowView(concept)})
		for _, phi := range p.cfg.Phi {
			fit, err := p.learn(ctx, train, concept, phi, false)
			if err != nil {
				return out, err
			}
			directions = append(directions, direction{learned(phi), phi, concept, fit.Direction(0)})
			right, err := p.answers(fit, held, concept, phi)
			if err != nil {
				return out, err
			}
			out.Probes = append(out.Probes, right...)
		}
		fit, err := p.learn(ctx, train, concept, 0, true)
		if err != nil {
			return out, err
		}
		directions = append(directions, direction{shuffled, 0, concept, fit.Direction(0)})
	}
	out.Audits, err = p.audits(ctx, enc, directions)
	return out, err
}

// learn fits a concept's logistic probe to texts whose labels have correlation phi.
func (p *planted) learn(ctx context.Context, train [4]*mat.Dense, concept int, phi float64, shuffle bool) (probe.Linear, error) {
	var x mat.Dense
	var positive []bool
	for cell, n := range sizes(p.cfg.Train, phi) {
		if n == 0 {
			continue
		}
		_, d := train[cell].Dims()
		part := train[cell].Slice(0, n, 0, d)
		if x.IsEmpty() {
			x.CloneFrom(part)
		} else {
			var both mat.Dense
			both.Stack(&x, part)
			x = both
		}
		for range n {
			positive = append(positive, cells[cell][concept])
		}
	}
	rows, err := probe.RowsOf(&x)
	if err != nil {
		return probe.Linear{}, err
	}
	target := probe.NewBinary(p.pair[concept], positive)
	if shuffle {
		target = probe.ShuffledLabels(target, nil, p.seed)
	}
	fits, err := probe.Logistic(ctx, rows, []probe.Target{target}, probe.DefaultLogistic())
	if err != nil {
		return probe.Linear{}, err
	}
	return fits[0], nil
}

// answers tells which held-out texts a probe gets right.
func (p *planted) answers(fit probe.Linear, held [4]*mat.Dense, concept int, phi float64) ([]probed, error) {
	var out []probed
	for cell, x := range held {
		rows, err := probe.RowsOf(x)
		if err != nil {
			return nil, err
		}
		scores, err := fit.Scores(rows)
		if err != nil {
			return nil, err
		}
		for i, s := range scores {
			a := probed{Phi: phi, Word: p.held[cell][i].key(p.pair, 0) + "," + p.held[cell][i].key(p.pair, 1), Apart: cells[cell][0] != cells[cell][1]}
			if s > 0 == cells[cell][concept] {
				a.Right = 1
			}
			out = append(out, a)
		}
	}
	return out, nil
}

// audits takes the attributions of all directions on the texts that have both concepts.
func (p *planted) audits(ctx context.Context, enc *bottleneck.Encoder, directions []direction) ([]audit, error) {
	missing, err := enc.Missing()
	if err != nil {
		return nil, err
	}
	texts := p.held[0][:p.cfg.Audited]
	tokens := make([]bottleneck.Tokens, len(texts))
	for i, s := range texts {
		if tokens[i], err = enc.Tokenize(s.text); err != nil {
			return nil, err
		}
	}
	rng := rand.New(rand.NewPCG(p.seed, 0x6175646974)) // "audit"
	var out []audit
	for _, d := range directions {
		w := mat.NewDense(len(texts), enc.Width(), nil)
		for i := range texts {
			w.SetRow(i, d.weights)
		}
		gradients, err := enc.IntegratedGradients(ctx, tokens, w, missing, p.cfg.Steps)
		if err != nil {
			return nil, err
		}
		left, err := enc.LeaveOneOut(ctx, tokens, w, missing)
		if err != nil {
			return nil, err
		}
		for m, of := range [][]bottleneck.Attribution{gradients, left} { // in the order of methods: rng is drawn from
			for i, a := range of {
				span, other := texts[i].span[d.concept], texts[i].span[1-d.concept]
				mass, err := bottleneck.Audit(a, tokens[i].Within(span[0], span[1]), tokens[i].Special, rng)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", texts[i].text, err)
				}
				rival, err := bottleneck.Audit(a, tokens[i].Within(other[0], other[1]), tokens[i].Special, rng)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", texts[i].text, err)
				}
				change := a.Score - a.Baseline
				out = append(out, audit{methods[m], d.name, d.phi, texts[i].key(p.pair, d.concept), mass, rival.Share, math.Abs(floats.Sum(a.Scores) - change), math.Abs(change)})
			}
		}
	}
	return out, nil
}

func embedAll(ctx context.Context, enc *bottleneck.Encoder, of [4][]sentence) ([4]*mat.Dense, error) {
	var out [4]*mat.Dense
	for cell, list := range of {
		x, err := enc.Embed(ctx, lab.Column(list, func(s sentence) string { return s.text }))
		if err != nil {
			return out, err
		}
		out[cell] = x
	}
	return out, nil
}
