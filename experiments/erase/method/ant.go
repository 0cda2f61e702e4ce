package method

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"loupe/experiments/erase/adapter"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/reader"
	"loupe/probe/model"
	"loupe/probe/train"
)

// Which weights ANT trains.
const (
	MaskSalient = "salient" // the half of largest gradients, as SalUn has it
	MaskLeast   = "least"   // the half of smallest ones, as ANT's published code has it
	MaskRandom  = "random"  // as many of each tensor as salient, drawn: a control
	MaskNone    = "none"    // all
)

// ANTConfig are the settings of ant.
type ANTConfig struct {
	Update        []string     `json:"update" doc:"parameters that are trained, by glob"`
	Mask          string       `json:"mask" doc:"which of their weights move" enum:"salient,least,random,none"`
	Keep          float64      `json:"keep" doc:"share of each tensor's weights that one augmentation keeps"`
	Augmentations int          `json:"augmentations" doc:"templates whose masks are intersected"`
	Eta           float64      `json:"eta" doc:"how far beyond the anchor the final states are pushed"`
	Early         int          `json:"early" doc:"block after which states should still be the concept's, counted from 0"`
	Plus          float64      `json:"plus" doc:"weight of that"`
	Batch         int          `json:"batch" doc:"prompts of a step"`
	Train         train.Config `json:"train" doc:"of the optimiser"`
}

// DefaultANT is a small budget for sentence encoders, chosen on castles; published are 250 steps at 5e-4 on a denoiser.
func DefaultANT() ANTConfig {
	c := ANTConfig{Update: []string{"blocks.*.attn.W_*", "blocks.*.mlp.W_*"}, Mask: MaskSalient, Keep: 0.5, Augmentations: 4, Eta: 1, Early: 1, Plus: 1, Batch: 4, Train: train.DefaultConfig()}
	c.Train.Steps, c.Train.LR = 15, 3e-5
	return c
}

// Validate checks what does not depend on the encoder.
func (c ANTConfig) Validate() error {
	switch {
	case len(c.Update) == 0 || c.Augmentations < 1 || c.Batch < 1 || c.Train.Steps < 1 || c.Early < 0 || c.Plus < 0:
		return fmt.Errorf("update %q, augmentations %d, batch %d, steps %d, early %d, plus %v: give each", c.Update, c.Augmentations, c.Batch, c.Train.Steps, c.Early, c.Plus)
	case !(c.Keep > 0 && c.Keep <= 1):
		return fmt.Errorf("keep is %v; use a share above 0 up to 1", c.Keep)
	case !slices.Contains([]string{MaskSalient, MaskLeast, MaskRandom, MaskNone}, c.Mask):
		return fmt.Errorf("mask is %q; use %s, %s, %s or %s", c.Mask, MaskSalient, MaskLeast, MaskRandom, MaskNone)
	}
	return c.Train.Validate()
}

func ant() Method {
	return Method{
		Name: "ant", Title: "ANT: masked by salience over augmentations", Paper: "ANT: Auto-Steering Denoising Trajectories to Avoid Unwanted Concepts, ACM MM 2025", Acts: ActsWeights,
		Check:  "hand mask; an analogue: depth stands for the time of denoising, templates for the augmentations of a prompt",
		Config: func() any { c := DefaultANT(); return &c },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			return fitANT(ctx, e, t, conf.(*ANTConfig))
		},
	}
}

// SaliencyMask keeps of each tensor the share of weights with the largest |gradient|, or with the smallest where least says so, in every one
// of several gradients: the product of their masks. Of equal ones the earlier are kept.
func SaliencyMask(gradients []train.Gradients, keep float64, least bool) (map[string][]float32, error) {
	if len(gradients) == 0 || !(keep > 0 && keep <= 1) {
		return nil, fmt.Errorf("method: a mask of %d gradients that keeps a share of %v; give a gradient and a share above 0 up to 1", len(gradients), keep)
	}
	out := make(map[string][]float32)
	for _, g := range gradients {
		for name, x := range g {
			mask, in := out[name]
			if !in {
				mask = make([]float32, len(x))
				for i := range mask {
					mask[i] = 1
				}
				out[name] = mask
			}
			if len(mask) != len(x) {
				return nil, fmt.Errorf("method: gradients of %s have %d and %d values", name, len(mask), len(x))
			}
			drop(mask, x, int(math.Ceil(keep*float64(len(x)))), least)
		}
	}
	return out, nil
}

// drop sets mask to 0 outside the n values of largest or smallest magnitude.
func drop(mask, x []float32, n int, least bool) {
	magnitude := make([]float32, len(x))
	for i, v := range x {
		magnitude[i] = float32(math.Abs(float64(v)))
	}
	sorted := slices.Clone(magnitude)
	slices.Sort(sorted)
	limit := sorted[n-1]
	if !least {
		limit = sorted[len(sorted)-n]
	}
	beyond := func(v float32) bool { return least && v < limit || !least && v > limit }
	ties := n
	for _, v := range magnitude {
		if beyond(v) {
			ties--
		}
	}
	for i, v := range magnitude {
		switch {
		case beyond(v):
		case v == limit && ties > 0:
			ties--
		default:
			mask[i] = 0
		}
	}
}

// MaskedShare is the share of weights that masks let move.
func MaskedShare(masks map[string][]float32) float64 {
	on, all := 0.0, 0
	for _, m := range masks {
		for _, v := range m {
			on += float64(v)
		}
		all += len(m)
	}
	return on / float64(all)
}

// trajectory is ANT's objective on a text encoder: late states away from the concept, early ones where they were.
type trajectory struct {
	c           *ANTConfig
	teacher     *teacher
	late, early []lesson
}

// fitANT trains the encoder so that the final states of the concepts' prompts are null - eta (concept - null), null being those of the
// anchor's prompts, while after an early block they are null + eta (concept - null): with eta 1 the concept's own. The published objective
// asks the former of late denoising steps and the latter of early ones.
func fitANT(ctx context.Context, e *encoder.Encoder, t *Task, c *ANTConfig) (*encoder.Variant, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("method: ant: %w", err)
	}
	if c.Early >= e.Layers() {
		return nil, fmt.Errorf("method: ant: early is block %d; model %s has 0 to %d", c.Early, e.Model.Name, e.Layers()-1)
	}
	o := &trajectory{c: c}
	longest := 0
	for _, target := range t.Erase {
		late, err := awayFrom(ctx, e, target.Fit, target.AnchorFit, c.Eta)
		if err != nil {
			return nil, fmt.Errorf("method: ant, %s: %w", target.Name, err)
		}
		own, err := e.StatesAt(ctx, nil, c.Early+1, target.Fit)
		if err != nil {
			return nil, err
		}
		twin, err := e.StatesAt(ctx, nil, c.Early+1, target.AnchorFit)
		if err != nil {
			return nil, err
		}
		for i, row := range late {
			longest = max(longest, row.Len())
			o.late = append(o.late, lesson{text: row.Encoding, target: row.Target, weight: 1})
			null, err := adapter.Align(own[i].IDs, twin[i].IDs, twin[i].X)
			if err != nil {
				return nil, err
			}
			toward := own[i].X
			toward.Sub(toward, null)
			toward.Scale(c.Eta, toward)
			toward.Add(toward, null)
			o.early = append(o.early, lesson{text: row.Encoding, target: toward, weight: c.Plus})
		}
	}
	names, err := train.Subset(e.Model.Spec, c.Update...)
	if err != nil {
		return nil, err
	}
	read, err := reader.NewIdentity(e.Width(), "")
	if err != nil {
		return nil, err
	}
	if o.teacher, err = newTeacher(e, read, names, longest, c.Batch, c.Train); err != nil {
		return nil, err
	}
	// the objective at an early block is that of the whole pass: later weights have gradients of 0
	share, err := o.mask(ctx, uint64(t.Seed))
	if err != nil {
		return nil, fmt.Errorf("method: ant: %w", err)
	}
	cards := newDeck(len(o.late), t.Seed)
	last := 0.0
	for range c.Train.Steps {
		loss, g, err := o.gradients(ctx, cards.deal(c.Batch))
		if err != nil {
			return nil, fmt.Errorf("method: ant: %w", err)
		}
		last = loss
		if err := o.teacher.Apply(g); err != nil {
			return nil, fmt.Errorf("method: ant: %w", err)
		}
	}
	return o.teacher.variant("ant", map[string]any{"last_loss": last, "moved": share}), nil
}

// mask restricts the trainer to the weights that matter in every augmentation, and returns their share.
func (o *trajectory) mask(ctx context.Context, seed uint64) (float64, error) {
	if o.c.Mask == MaskNone {
		return 1, nil
	}
	var all []train.Gradients
	for i := range min(o.c.Augmentations, len(o.late)) {
		_, g, err := o.gradients(ctx, []int{i})
		if err != nil {
			return 0, err
		}
		all = append(all, g)
	}
	masks, err := SaliencyMask(all, o.c.Keep, o.c.Mask == MaskLeast)
	if err != nil {
		return 0, err
	}
	if o.c.Mask == MaskRandom {
		rng := rand.New(rand.NewPCG(seed, 0x6d61736b)) // "mask"
		for _, name := range o.teacher.Names() {
			m := masks[name]
			rng.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
		}
	}
	return MaskedShare(masks), o.teacher.Mask(masks)
}

// gradients are those of the late and the early loss of some prompts, each a mean.
func (o *trajectory) gradients(ctx context.Context, prompts []int) (float64, train.Gradients, error) {
	var late, early []lesson
	for _, i := range prompts {
		a, b := o.late[i], o.early[i]
		a.weight, b.weight = a.weight/float64(len(prompts)), b.weight/float64(len(prompts))
		late, early = append(late, a), append(early, b)
	}
	o.teacher.site = model.Site{Kind: model.LastHidden}
	loss, g, err := o.teacher.gradients(ctx, late, nil)
	if err != nil || o.c.Plus == 0 {
		return loss, g, err
	}
	o.teacher.site = model.Site{Kind: model.ResidPost, Layer: o.c.Early}
	more, h, err := o.teacher.gradients(ctx, early, nil)
	if err != nil {
		return 0, nil, err
	}
	return loss + more, g, g.Add(h, 1)
}
