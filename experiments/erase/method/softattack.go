package method

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/internal/adam"
	"loupe/probe/model"
)

// The steps of a soft attack, and where it begins.
const (
	StepAdam   = "adam"
	StepSign   = "sign"   // the gradient's sign times the rate (fast_at)
	InitRandom = "random" // normal, of the root mean square of the text's own word embeddings
	InitLatest = "latest" // where the last attack on the same text ended, at first random
)

// SoftConfig are the settings of the attack inside a training.
type SoftConfig struct {
	Tokens int     `json:"tokens" doc:"soft tokens in front of a prompt, behind its start token"`
	Steps  int     `json:"steps" doc:"of the attack"`
	LR     float64 `json:"lr" doc:"its rate"`
	Step   string  `json:"step" doc:"how it moves" enum:"adam,sign"`
	Init   string  `json:"init" doc:"where it begins" enum:"random,latest"`
}

// Validate checks the settings.
func (c SoftConfig) Validate() error {
	switch {
	case c.Tokens < 1 || c.Steps < 0 || !(c.LR > 0) || math.IsInf(c.LR, 0):
		return fmt.Errorf("method: attack: %d tokens, %d steps at rate %v; use at least 1 token and a positive rate", c.Tokens, c.Steps, c.LR)
	case c.Step != StepAdam && c.Step != StepSign:
		return fmt.Errorf("method: attack: step %q; use %s or %s", c.Step, StepAdam, StepSign)
	case c.Init != InitRandom && c.Init != InitLatest:
		return fmt.Errorf("method: attack: init %q; use %s or %s", c.Init, InitRandom, InitLatest)
	}
	return nil
}

// delta are the word embeddings [k, d] of an attack's tokens.
type delta *mat.Dense

// adversary attacks an encoder in training.
type adversary struct {
	was     *original
	teacher *teacher
	cfg     SoftConfig
	latest  map[string]delta
	seed    uint64
	runs    uint64
}

// plain are lessons of texts as they are, whose readings are to stay.
func (a *adversary) plain(texts []string, queries *mat.Dense) ([]lesson, error) {
	var out []lesson
	for _, s := range texts {
		text := a.was.states[s].Encoding
		soft, err := a.teacher.e.Soften(text)
		if err != nil {
			return nil, err
		}
		target, err := a.was.read(s, text, queries)
		if err != nil {
			return nil, err
		}
		out = append(out, lesson{text: text, embeds: soft.Embeds, target: target, weight: 1})
	}
	return out, nil
}

// attack puts soft tokens in front of texts and moves them so that the texts are read as the original encoder read them. It returns the
// lessons, with their original readings as targets, and the sum of their losses before the first step and before the last.
func (a *adversary) attack(ctx context.Context, texts []string, queries *mat.Dense) (lessons []lesson, before, after float64, err error) {
	k, d := a.cfg.Tokens, a.teacher.e.Width()
	lessons, err = a.plain(texts, queries)
	if err != nil {
		return nil, 0, 0, err
	}
	a.runs++
	rng := rand.New(rand.NewPCG(a.seed, a.runs))
	for i := range lessons {
		l := &lessons[i]
		soft := encoder.Insert(l.text, 1, make([]int32, k))
		x := mat.NewDense(soft.Len(), d, nil)
		x.Slice(0, 1, 0, d).(*mat.Dense).Copy(l.embeds)
		x.Slice(1+k, soft.Len(), 0, d).(*mat.Dense).Copy(l.embeds.Slice(1, l.text.Len(), 0, d))
		part := x.Slice(1, 1+k, 0, d).(*mat.Dense)
		if last, ok := a.latest[texts[i]]; ok && a.cfg.Init == InitLatest {
			part.Copy((*mat.Dense)(last))
		} else {
			scale := mat.Norm(l.embeds, 2) / math.Sqrt(float64(l.text.Len()*d))
			part.Apply(func(_, _ int, _ float64) float64 { return scale * rng.NormFloat64() }, part)
		}
		if l.target, err = a.was.read(texts[i], soft, queries); err != nil {
			return nil, 0, 0, err
		}
		l.text, l.embeds = soft, x
	}
	move := make([]func(x, gradient []float64), len(lessons))
	for i := range move {
		move[i] = a.cfg.mover(k * d)
	}
	for step := range a.cfg.Steps {
		loss, grads, err := a.teacher.embedGradients(ctx, lessons, queries)
		if err != nil {
			return nil, 0, 0, err
		}
		if after = loss; step == 0 {
			before = loss
		}
		for i, g := range grads {
			move[i](lessons[i].embeds.RawMatrix().Data[d:(1+k)*d], g.RawMatrix().Data[d:(1+k)*d])
		}
	}
	for i, s := range texts {
		a.latest[s] = mat.DenseCopyOf(lessons[i].embeds.Slice(1, 1+k, 0, d))
	}
	return lessons, before, after, nil
}

// mover returns what moves n numbers against their gradient: Adam, or the gradient's sign.
func (c SoftConfig) mover(n int) func(x, gradient []float64) {
	if c.Step == StepAdam {
		return adam.NewSolver(c.LR, n).Step
	}
	return func(x, gradient []float64) {
		for j, slope := range gradient {
			if slope != 0 {
				x[j] -= math.Copysign(c.LR, slope)
			}
		}
	}
}

// embedGradients are the gradients [T, d] of the sum of the lessons' losses with respect to their word embeddings.
func (t *teacher) embedGradients(ctx context.Context, lessons []lesson, queries *mat.Dense) (loss float64, grads []*mat.Dense, err error) {
	few := *t
	few.batch = len(lessons)
	plan, in, err := few.inputs(lessons, queries)
	if err != nil {
		return 0, nil, err
	}
	site := model.Site{Kind: model.Embed}
	plan.GradSites = []model.Site{site}
	program, err := t.e.Engine.Compile(t.e.Model.Spec, plan)
	if err != nil {
		return 0, nil, err
	}
	out, err := program.Run(ctx, t.Params(), in)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	value, err := out.Objective()
	if err != nil {
		return 0, nil, err
	}
	flat, err := tensors.CopyFlatData[float32](out.Grad(site))
	if err != nil {
		return 0, nil, err
	}
	d := t.e.Width()
	for r, l := range lessons {
		g := mat.NewDense(l.text.Len(), d, nil)
		for i, v := range flat[r*t.seq*d : (r*t.seq+l.text.Len())*d] {
			g.RawMatrix().Data[i] = float64(v)
		}
		grads = append(grads, g)
	}
	return float64(value), grads, nil
}
