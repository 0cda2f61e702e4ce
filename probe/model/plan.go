package model

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
)

// LogitsMode says which next-token logits a plan returns.
type LogitsMode string

// Logits: none, at Plan.Gather positions per row, or at every position.
const (
	LogitsNone LogitsMode = ""
	LogitsAt   LogitsMode = "gathered"
	LogitsAll  LogitsMode = "all"
)

// Reduce says what of a captured site a plan returns.
type Reduce string

// Reductions: the whole tensor; the rows at Plan.Gather positions [b,p,..]; the mean over real tokens [b,..]; or the
// batch's moments over real tokens: count, sum [w] and sum of outer products [w,w].
const (
	Whole     Reduce = ""
	Gathered  Reduce = "gathered"
	TokenMean Reduce = "mean"
	Moments   Reduce = "moments"
)

// Capture is a site whose value a plan returns.
type Capture struct {
	Site   Site
	Reduce Reduce
}

// Plan is what is fixed when a program is compiled. Everything else is a run-time tensor.
type Plan struct {
	Batch, Seq int
	Embeds     bool // the input is the token embeddings (hook_embed) instead of ids
	From       int  // restart: the input is hook_resid_pre of this layer when From > 0
	To         int  // stop after this many layers; 0 means all
	Gather     int  // positions per row for LogitsAt and Gathered
	Logits     LogitsMode
	Captures   []Capture
	Edits      []Edit
	Edges      *Edges // the edge-masked pass; nil: the plain one
	// Receiver moves what one receiver of the plan's first block reads, in each row another one: x_v <- x_v + pick_v change, with the
	// run-time tensors "change" [b,t,d] and "pick" [b,3h+1] (queries of all heads, keys of all, values of all, the MLP) in Inputs.Edges. It is
	// the exact effect of one edge at the price of the blocks behind it.
	Receiver bool
	// FreezeNorms keeps every norm's divisor where it is when gradients are taken, so that a norm is a linear map of what it reads; values are
	// the same. The gradients are then those of the model with its norms' scales fixed at this pass.
	FreezeNorms bool
	Objective   *Objective
	GradSites   []Site   // gradients of the objective with respect to these sites
	GradParams  []string // and to these parameters
	GradEdits   []EditTensor
	Storage     DType // how the parameters are stored; "" is Float32
}

// EditTensor names one run-time tensor of one edit of a plan.
type EditTensor struct {
	Edit int
	Name string
}

// Input describes a run-time tensor of an objective.
type Input struct {
	Name  string
	DType dtypes.DType
	Dims  []int
}

// layers returns the first layer computed and the one after the last.
func (p *Plan) layers(s *Spec) (from, to int) {
	if p.To == 0 {
		return p.From, s.Layers
	}
	return p.From, p.To
}

// digest identifies the plan among the plans of one Spec.
func (p *Plan) digest() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("model: plan: %v", err)) // plain values always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// validate checks the plan against the Spec.
func (p *Plan) validate(s *Spec) error {
	from, to := p.layers(s)
	switch {
	case p.Batch < 1 || p.Seq < 1:
		return fmt.Errorf("model: plan: batch %d and sequence %d must be positive", p.Batch, p.Seq)
	case s.MaxPos > 0 && p.Seq > s.MaxPos:
		return fmt.Errorf("model: plan: sequences of %d positions exceed this %s model's %d; truncate or split the texts", p.Seq, s.Family, s.MaxPos)
	case from < 0 || from >= s.Layers || to < from || to > s.Layers:
		return fmt.Errorf("model: plan: layers %d to %d of %d", from, to, s.Layers)
	case p.Embeds && from > 0:
		return errors.New("model: plan: a restart from a layer takes its residual stream, not embeddings")
	case p.Logits != LogitsNone && !s.Decoder:
		return fmt.Errorf("model: plan: a %s encoder has no next-token logits; capture last_hidden_state instead", s.Family)
	case p.Logits != LogitsNone && to < s.Layers:
		return errors.New("model: plan: logits need all layers")
	case p.Logits == LogitsAt && p.Gather < 1:
		return errors.New("model: plan: logits at gathered positions need Gather > 0")
	case p.Logits == LogitsNone && len(p.Captures) == 0 && p.Objective == nil && (p.Edges == nil || !p.Edges.Senders && !p.Edges.Receivers):
		return errors.New("model: plan: nothing is asked for; name captures, logits or an objective")
	case p.Objective == nil && len(p.GradSites)+len(p.GradParams)+len(p.GradEdits) > 0:
		return errors.New("model: plan: gradients need an objective")
	}
	for _, c := range p.Captures {
		if err := s.Has(c.Site); err != nil {
			return err
		}
		axes := c.Site.Kind.Axes()
		if c.Reduce != Whole && (len(axes) < 3 || axes[1] != 't') {
			return fmt.Errorf("model: plan: site %s has no token axis to reduce by %q", c.Site, c.Reduce)
		}
		if c.Reduce == Moments && len(axes) != 3 {
			return fmt.Errorf("model: plan: moments of %s: only sites of shape [b,t,width] have them", c.Site)
		}
		if c.Reduce == Gathered && p.Gather < 1 {
			return errors.New("model: plan: gathered captures need Gather > 0")
		}
		if err := p.computes(s, c.Site); err != nil {
			return err
		}
	}
	for i := range p.Edits {
		if err := p.Edits[i].validate(s); err != nil {
			return fmt.Errorf("model: plan: edit %d: %w", i, err)
		}
	}
	if p.Edges != nil {
		if err := p.Edges.validate(s, p); err != nil {
			return err
		}
	}
	if p.Receiver {
		if err := p.validateReceiver(s); err != nil {
			return err
		}
	}
	for _, site := range p.GradSites {
		if err := errors.Join(s.Has(site), p.computes(s, site)); err != nil {
			return err
		}
	}
	for _, e := range p.GradEdits {
		if e.Edit < 0 || e.Edit >= len(p.Edits) {
			return fmt.Errorf("model: plan: gradient of edit %d of %d", e.Edit, len(p.Edits))
		}
	}
	return nil
}

// computes tells whether the plan's layers reach the site.
func (p *Plan) computes(s *Spec, site Site) error {
	from, to := p.layers(s)
	ok := to == s.Layers
	switch {
	case site.Kind.InBlock():
		ok = site.Layer >= from && site.Layer < to
	case site.Kind == Embed || site.Kind == PosEmbed:
		ok = from == 0
	}
	if !ok {
		return fmt.Errorf("model: plan: layers %d to %d do not compute site %s", from, to, site)
	}
	return nil
}

// validateReceiver checks a plan with a moved receiver.
func (p *Plan) validateReceiver(s *Spec) error {
	switch {
	case p.Edges != nil:
		return errors.New("model: plan: a moved receiver and an edge mask exclude each other")
	case p.Embeds:
		return errors.New("model: plan: a moved receiver takes ids or a layer's residual stream, not embeddings")
	}
	return errors.Join(s.HasEdges(), p.splitSites())
}
