package conceptmetrics

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/vectors"
)

// planted is texts whose class, concepts and their places are known.
type planted struct {
	cfg         *Config
	sentences   []*lab.Sentences // of each concept
	truth       *mat.Dense       // [classes, concepts], 1 where a class has a concept
	train, test part
}

// part is the training or the test texts.
type part struct {
	texts   []string
	class   []int
	present [][]bool
	spans   [][][2]int   // of each concept's word in the text, in code points; [0, 0) where it is not there
	mean    *mat.Dense   // [n, d], mean token
	tokens  []*mat.Dense // of each text, special ones left out
	inside  [][][]bool   // [n][concepts][tokens], nil where the concept is not there
}

func (p *planted) width() int { _, d := p.train.mean.Dims(); return d }

// plant makes the texts by seed and reads them.
func plant(ctx context.Context, c *Config, l *lab.Lab) (*planted, error) {
	all, err := lab.ConceptSentences(c.Concepts, c.Pairs, c.Pairs, c.Seed)
	if err != nil {
		return nil, err
	}
	p := &planted{cfg: c, sentences: all, truth: mat.NewDense(c.Classes, len(c.Concepts), nil)}
	for class := range c.Classes {
		p.truth.Set(class, class, 1)
		p.truth.Set(class, class+1, 1)
	}
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x706c616e74)) // "plant"
	p.train = p.draw(rng, c.Train, func(s *lab.Sentences) []int { return s.Split.Train })
	p.test = p.draw(rng, c.Test, func(s *lab.Sentences) []int { return s.Split.Test })
	for _, t := range []*part{&p.train, &p.test} {
		if err := t.read(ctx, l, c.Layer); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// draw puts n texts together from sentences of a split.
func (p *planted) draw(rng *rand.Rand, n int, rows func(*lab.Sentences) []int) part {
	var out part
	for i := range n {
		class := i % p.cfg.Classes
		has, span := make([]bool, len(p.cfg.Concepts)), make([][2]int, len(p.cfg.Concepts))
		for k := range has {
			chance := p.cfg.Foreign
			if p.truth.At(class, k) == 1 {
				chance = p.cfg.Own
			}
			has[k] = rng.Float64() < chance
		}
		if !has[class] && !has[class+1] {
			has[class] = true
		}
		var sentences []string
		length := 0
		for _, k := range rng.Perm(len(has)) {
			if !has[k] {
				continue
			}
			of := p.sentences[k]
			from := rows(of)
			r := from[rng.IntN(len(from))]
			for of.Class[r] != 1 {
				r = from[rng.IntN(len(from))]
			}
			item := of.Items[r]
			span[k] = [2]int{length + item.Span[0], length + item.Span[1]}
			sentences, length = append(sentences, item.Text), length+utf8.RuneCountInString(item.Text)+1
		}
		out.texts, out.class, out.present, out.spans = append(out.texts, strings.Join(sentences, " ")), append(out.class, class), append(out.present, has), append(out.spans, span)
	}
	return out
}

// read runs the texts through the model and finds each concept's tokens.
func (t *part) read(ctx context.Context, l *lab.Lab, layer int) error {
	return l.EachText(ctx, t.texts, []model.Site{{Kind: model.ResidPost, Layer: layer}}, lab.ReadOptions{}, func(i int, r lab.TextRows) error {
		_, d := r.Rows[0].Dims()
		if t.mean == nil {
			t.mean = mat.NewDense(len(t.texts), d, nil)
		}
		var plain []int
		for at, special := range r.Special {
			if !special {
				plain = append(plain, at)
			}
		}
		tokens := mat.NewDense(len(plain), d, nil)
		inside := make([][]bool, len(t.present[i]))
		for to, at := range plain {
			row := r.Rows[0].RawRowView(at)
			tokens.SetRow(to, row)
			for j, v := range row {
				t.mean.Set(i, j, t.mean.At(i, j)+v/float64(len(plain)))
			}
			for k, has := range t.present[i] {
				if !has {
					continue
				}
				if inside[k] == nil {
					inside[k] = make([]bool, len(plain))
				}
				inside[k][to] = r.Offsets[at][0] < t.spans[i][k][1] && r.Offsets[at][1] > t.spans[i][k][0]
			}
		}
		t.tokens, t.inside = append(t.tokens, tokens), append(t.inside, inside)
		return nil
	})
}

// trained are probes of the concepts in the training texts themselves.
func (p *planted) trained(ctx context.Context) (*mat.Dense, error) {
	out := mat.NewDense(len(p.cfg.Concepts), p.width(), nil)
	for k := range p.cfg.Concepts {
		y := make([]int, len(p.train.present))
		for i, has := range p.train.present {
			if has[k] {
				y[i] = 1
			}
		}
		fit, err := vectors.Logistic(ctx, p.train.mean, y, 1)
		if err != nil {
			return nil, fmt.Errorf("concept %s: %w", p.cfg.Concepts[k], err)
		}
		out.SetRow(k, fit.Weights)
	}
	return out, nil
}

// bank are concept activation vectors of single sentences against their twins: what a post-hoc bottleneck is made of.
func (p *planted) bank(ctx context.Context, l *lab.Lab) (*mat.Dense, error) {
	out := mat.NewDense(len(p.cfg.Concepts), p.width(), nil)
	for k, of := range p.sentences {
		x, err := l.Read(ctx, lab.Take(of.Texts, of.Split.Train), []model.Site{{Kind: model.ResidPost, Layer: p.cfg.Layer}}, lab.MeanToken, lab.ReadOptions{})
		if err != nil {
			return nil, err
		}
		fit, err := vectors.SquaredHinge(ctx, x[0], lab.Take(of.Class, of.Split.Train), 0.1)
		if err != nil {
			return nil, fmt.Errorf("concept %s: %w", of.Concept, err)
		}
		out.SetRow(k, fit.Weights)
	}
	return out, nil
}

// names are the model's activations of the concepts' names, less their mean: no example is needed.
func (p *planted) names(ctx context.Context, l *lab.Lab) (*mat.Dense, error) {
	x, err := l.Read(ctx, p.cfg.Concepts, []model.Site{{Kind: model.ResidPost, Layer: p.cfg.Layer}}, lab.MeanToken, lab.ReadOptions{})
	if err != nil {
		return nil, err
	}
	k, d := x[0].Dims()
	for j := range d {
		mean := 0.0
		for i := range k {
			mean += x[0].At(i, j) / float64(k)
		}
		for i := range k {
			x[0].Set(i, j, x[0].At(i, j)-mean)
		}
	}
	return x[0], nil
}

// randomDirections are normal vectors [k, d].
func randomDirections(k, d int, seed int64) *mat.Dense {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x72616e64)) // "rand"
	out := mat.NewDense(k, d, nil)
	for i := range out.RawMatrix().Data {
		out.RawMatrix().Data[i] = rng.NormFloat64()
	}
	return out
}
