package method

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/reader"
	"loupe/probe/token"
	"loupe/probe/train"
)

// What is taken from the gradient of unlearning.
const (
	SurgeryPCGrad    = "pcgrad"    // its part against that of retaining
	SurgeryPublished = "published" // that of its unit vector, as DoCo's code has it
	SurgeryNone      = "none"
)

// DoCoConfig are the settings of doco.
type DoCoConfig struct {
	Update  []string     `json:"update" doc:"parameters that are trained, by glob"`
	Train   train.Config `json:"train" doc:"of the encoder's optimiser"`
	Warmup  int          `json:"warmup" doc:"steps of the discriminator alone before the encoder moves"`
	Hidden  int          `json:"hidden" doc:"units of the discriminator"`
	DLR     float64      `json:"dlr" doc:"learning rate of the discriminator"`
	Batch   int          `json:"batch" doc:"prompts of each kind in a step"`
	Retain  float64      `json:"retain" doc:"weight of the squared error of retained texts' embeddings"`
	Surgery string       `json:"surgery" doc:"what is taken from the gradient of unlearning" enum:"pcgrad,published,none"`
}

// DefaultDoCo is a small budget for sentence encoders, chosen on castles; published are 2,000 steps at 6e-6, half of them warm-up, on a denoiser.
func DefaultDoCo() DoCoConfig {
	c := DoCoConfig{Update: []string{"blocks.*.attn.W_K", "blocks.*.attn.W_V"}, Train: train.DefaultConfig(), Warmup: 30, Hidden: 32, DLR: 1e-3, Batch: 8, Retain: 1, Surgery: SurgeryPCGrad}
	c.Train.Steps, c.Train.LR = 40, 3e-4
	return c
}

// Validate checks what does not depend on the encoder.
func (c DoCoConfig) Validate() error {
	switch {
	case len(c.Update) == 0 || c.Warmup < 0 || c.Hidden < 1 || c.Batch < 1 || !(c.DLR > 0) || c.Retain < 0 || c.Train.Steps < 1:
		return fmt.Errorf("update %q, warmup %d, hidden %d, batch %d, dlr %v, retain %v, steps %d: give each", c.Update, c.Warmup, c.Hidden, c.Batch, c.DLR, c.Retain, c.Train.Steps)
	case !slices.Contains([]string{SurgeryPCGrad, SurgeryPublished, SurgeryNone}, c.Surgery):
		return fmt.Errorf("surgery is %q; use %s, %s or %s", c.Surgery, SurgeryPCGrad, SurgeryPublished, SurgeryNone)
	}
	return c.Train.Validate()
}

func doco() Method {
	return Method{
		Name: "doco", Title: "Domain correction by a discriminator", Paper: "arXiv:2405.15304", Acts: ActsWeights,
		Check:  "surgery golden (TestGoldenErasure); discriminator's gradients by differences; it reads embeddings, for images are not at hand",
		Config: func() any { c := DefaultDoCo(); return &c },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			return fitDoCo(ctx, e, t, conf.(*DoCoConfig))
		},
	}
}

// docoTexts are texts with their tokens and the original encoder's embeddings.
type docoTexts struct {
	texts  []string
	tokens []token.Encoding
	x      *mat.Dense
}

func newDocoTexts(ctx context.Context, e *encoder.Encoder, texts []string) (docoTexts, error) {
	out := docoTexts{texts: texts}
	states, err := e.States(ctx, nil, texts)
	if err != nil {
		return out, err
	}
	for _, s := range states {
		out.tokens = append(out.tokens, s.Encoding)
	}
	out.x, err = e.Rows(states)
	return out, err
}

// some are the rows of x at places.
func some(x *mat.Dense, places []int) *mat.Dense {
	_, d := x.Dims()
	out := mat.NewDense(len(places), d, nil)
	for i, k := range places {
		out.SetRow(i, x.RawRowView(k))
	}
	return out
}

// domainCorrection is one training.
type domainCorrection struct {
	c               *DoCoConfig
	e               *encoder.Encoder
	teacher         *teacher
	judge           *Discriminator
	target, anchor  docoTexts
	kept            docoTexts
	targets, keeper *deck
	conflicts       int // tensors whose gradients pointed apart
}

// fitDoCo trains the encoder against a discriminator, so that the embeddings of the concepts' prompts are taken for those that the original
// encoder gives the anchor's, while those of the anchor's own prompts and of ordinary sentences stay.
func fitDoCo(ctx context.Context, e *encoder.Encoder, t *Task, c *DoCoConfig) (*encoder.Variant, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("method: doco: %w", err)
	}
	o := &domainCorrection{c: c, e: e}
	var with, without []string
	for _, target := range t.Erase {
		with, without = append(with, target.Fit...), append(without, target.AnchorFit...)
	}
	var err error
	if o.target, err = newDocoTexts(ctx, e, with); err != nil {
		return nil, err
	}
	if o.anchor, err = newDocoTexts(ctx, e, without); err != nil {
		return nil, err
	}
	if o.kept, err = newDocoTexts(ctx, e, slices.Concat(without, t.Benign)); err != nil {
		return nil, err
	}
	longest := 0
	for _, list := range [][]token.Encoding{o.target.tokens, o.kept.tokens} {
		for _, text := range list {
			longest = max(longest, text.Len())
		}
	}
	names, err := train.Subset(e.Model.Spec, c.Update...)
	if err != nil {
		return nil, err
	}
	read, err := reader.NewIdentity(e.Width(), reader.Pooling(e.Pool))
	if err != nil {
		return nil, err
	}
	if o.teacher, err = newTeacher(e, read, names, longest, c.Batch, c.Train); err != nil {
		return nil, err
	}
	if o.judge, err = NewDiscriminator(e.Width(), c.Hidden, uint64(t.Seed)); err != nil {
		return nil, err
	}
	o.targets, o.keeper = newDeck(len(with), t.Seed), newDeck(len(o.kept.texts), t.Seed+1)
	for range c.Warmup {
		o.judge.Learn(o.target.x, o.anchor.x, c.DLR)
	}
	before := o.judge.Accuracy(o.target.x, o.anchor.x)
	var retained float64
	for range c.Train.Steps {
		if retained, err = o.step(ctx); err != nil {
			return nil, fmt.Errorf("method: doco: %w", err)
		}
	}
	v := o.teacher.variant("doco", nil)
	x, err := e.Embed(ctx, v, with)
	if err != nil {
		return nil, err
	}
	v.Notes = map[string]any{
		"d_accuracy_before": before, "d_accuracy": o.judge.Accuracy(x, o.anchor.x), "last_retain_loss": retained, "tensors": len(names),
		"conflicts": float64(o.conflicts) / float64(len(names)*c.Train.Steps),
	}
	return v, nil
}

// step moves the discriminator, then the encoder. It returns the mean squared error of the retained texts before it.
func (o *domainCorrection) step(ctx context.Context) (float64, error) {
	hand := o.targets.deal(o.c.Batch)
	var texts []string
	for _, i := range hand {
		texts = append(texts, o.target.texts[i])
	}
	now, err := o.e.Embed(ctx, &encoder.Variant{Params: o.teacher.Params()}, texts)
	if err != nil {
		return 0, err
	}
	o.judge.Learn(now, some(o.anchor.x, hand), o.c.DLR)
	var fool, hold []lesson
	for i, k := range hand {
		// the regression 1/2 |x - target|² has the gradient x - target, here the discriminator's
		_, g := o.judge.Fool(now.RawRowView(i))
		floats.Scale(-1, g)
		floats.Add(g, now.RawRowView(i))
		fool = append(fool, lesson{text: o.target.tokens[k], target: mat.NewDense(1, o.e.Width(), g), weight: 0.5 / float64(len(hand))})
	}
	kept := o.keeper.deal(o.c.Batch)
	for _, k := range kept {
		hold = append(hold, lesson{text: o.kept.tokens[k], target: some(o.kept.x, []int{k}), weight: 1 / float64(len(kept))})
	}
	_, unlearn, err := o.teacher.gradients(ctx, fool, nil)
	if err != nil {
		return 0, err
	}
	loss, retain, err := o.teacher.gradients(ctx, hold, nil)
	if err != nil {
		return 0, err
	}
	if err := o.operate(unlearn, retain); err != nil {
		return 0, err
	}
	if err := unlearn.Add(retain, o.c.Retain); err != nil {
		return 0, err
	}
	return loss, o.teacher.Apply(unlearn)
}

// operate takes from each tensor's gradient of unlearning what points against that of retaining.
func (o *domainCorrection) operate(unlearn, retain train.Gradients) error {
	for name, g := range unlearn {
		a, b := wide(g), wide(retain[name])
		if floats.Dot(a, b) < 0 {
			o.conflicts++
		}
		if o.c.Surgery == SurgeryNone {
			continue
		}
		out, err := erase.GradientSurgery(a, b, o.c.Surgery == SurgeryPublished)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i, v := range out {
			g[i] = float32(v)
		}
	}
	return nil
}

// wide are values in float64.
func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
