package sae

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Reconstructor encodes and decodes rows: a [Runner], or any other dictionary. x is [n, d]; so is the reconstruction.
type Reconstructor interface {
	Reconstruct(ctx context.Context, x []float32) (Latents, []float32, error)
}

// TokenBatch is a padded batch of texts, every slice [B*T].
type TokenBatch struct {
	IDs  []int32
	Mask []int32 // 1 for real tokens; nil: all
	Keep []bool  // positions to splice and to ablate; nil: all real ones. Special tokens are mostly left out
}

// real tells whether position i holds a token, and at whether it is spliced.
func (b TokenBatch) real(i int) bool { return b.Mask == nil || b.Mask[i] != 0 }
func (b TokenBatch) at(i int) bool   { return b.real(i) && (b.Keep == nil || b.Keep[i]) }

// Variant is what a forward pass has in place of the site's activations x.
type Variant string

// The variants: x; the reconstruction x^; x^ + (x - x^), which must change nothing and checks the splice; zeros; the mean.
const (
	VariantClean     Variant = "clean"
	VariantSpliced   Variant = "spliced"
	VariantErrorKept Variant = "error_kept"
	VariantZero      Variant = "zero_ablated"
	VariantMean      Variant = "mean_ablated"
)

const variantCount = 5

var variants = [variantCount]Variant{VariantClean, VariantSpliced, VariantErrorKept, VariantZero, VariantMean}

// Splicer runs a model with a dictionary in place of a site's activations. A TopK, ReLU or JumpReLU autoencoder without
// normalisation is spliced as a run-time edit of the compiled model; any other, and a transcoder, is reconstructed on the
// host between two passes. It is not safe for concurrent use.
type Splicer struct {
	model  *model.Model
	read   model.Site // what the dictionary reads
	site   model.Site // what is replaced; the same for autoencoders
	width  int        // of site
	plan   model.Plan // of the outputs asked for, without captures and edits of the splicer
	clean  *model.Program
	swap   *model.Program // with a Replace edit
	inside *model.Program // with the autoencoder in the graph, or nil
	dict   Reconstructor
	sae    map[string]*tensors.Tensor
	mean   []float32
}

// NewSplicer compiles what splicing at a site of shape [b,t,width] needs. plan gives the batch, the length and the outputs
// wanted (logits, captures); dict reconstructs on the host. Where s is not nil and can run inside the model it does, and
// dict may be nil.
func NewSplicer(e *model.Engine, m *model.Model, site model.Site, plan model.Plan, s *SAE, dict Reconstructor) (*Splicer, error) {
	if s != nil && s.Transcoder() {
		return nil, fmt.Errorf("sae: splice: a %s writes another site than it reads; use NewTranscoderSplicer", s.Arch)
	}
	return newSplicer(e, m, site, site, plan, s, dict)
}

// NewTranscoderSplicer is NewSplicer for a transcoder: dict reads one site, and what it returns stands at another, later one.
// The variants, ablations and the kept error included, are of the later site.
func NewTranscoderSplicer(e *model.Engine, m *model.Model, read, site model.Site, plan model.Plan, dict Reconstructor) (*Splicer, error) {
	return newSplicer(e, m, read, site, plan, nil, dict)
}

func newSplicer(e *model.Engine, m *model.Model, read, site model.Site, plan model.Plan, s *SAE, dict Reconstructor) (*Splicer, error) {
	for _, at := range []model.Site{read, site} {
		if err := m.Spec.Has(at); err != nil {
			return nil, fmt.Errorf("sae: splice: %w", err)
		}
		if axes := at.Kind.Axes(); len(axes) != 3 || axes[:2] != "bt" {
			return nil, fmt.Errorf("sae: splice: site %s is not of shape [b,t,width]; take a residual, attention or MLP output", at)
		}
	}
	sp := &Splicer{model: m, read: read, site: site, width: m.Spec.Width(site.Kind, plan.Seq), plan: plan, dict: dict}
	if s != nil && s.DIn != sp.width {
		return nil, fmt.Errorf("sae: splice: the SAE reads %d dimensions and site %s has %d; is this the SAE's site?", s.DIn, site, sp.width)
	}
	topK, inside := insideModel(e, s)
	if !inside && dict == nil {
		return nil, errors.New("sae: splice: this autoencoder cannot run inside the model; give a Reconstructor, such as its Runner")
	}
	var layers []int
	if site.Kind.InBlock() {
		layers = []int{site.Layer}
	}
	compile := func(edits ...model.Edit) (*model.Program, error) {
		p := plan
		p.Edits = edits
		if edits == nil {
			p.Captures = append([]model.Capture{}, plan.Captures...)
			for _, at := range []model.Site{read, site} {
				if c := (model.Capture{Site: at}); !slices.Contains(p.Captures, c) {
					p.Captures = append(p.Captures, c)
				}
			}
		}
		return e.Compile(m.Spec, p)
	}
	var err error
	if sp.clean, err = compile(); err != nil {
		return nil, fmt.Errorf("sae: splice: %w", err)
	}
	if sp.swap, err = compile(model.Edit{Site: site.Kind, Layers: layers, Replace: true}); err != nil {
		return nil, fmt.Errorf("sae: splice: %w", err)
	}
	if inside {
		if sp.inside, err = compile(model.Edit{Site: site.Kind, Layers: layers, Latents: s.DSAE, TopK: topK}); err != nil {
			return nil, fmt.Errorf("sae: splice: %w", err)
		}
		sp.sae = editTensors(s)
	}
	return sp, nil
}

// SetMean sets what mean ablation puts in, [width].
func (s *Splicer) SetMean(mean []float32) error {
	if len(mean) != s.width {
		return fmt.Errorf("sae: splice: a mean of %d dimensions for site %s of %d", len(mean), s.site, s.width)
	}
	s.mean = mean
	return nil
}

// Run runs one batch under every variant asked for. The visitor gets the outputs, which are freed when it returns; the
// clean ones are always computed, and visited only if asked for.
func (s *Splicer) Run(ctx context.Context, b TokenBatch, ask []Variant, visit func(Variant, *model.Outputs) error) (err error) {
	n := s.plan.Batch * s.plan.Seq
	if len(b.IDs) != n || b.Mask != nil && len(b.Mask) != n || b.Keep != nil && len(b.Keep) != n {
		return fmt.Errorf("sae: splice: %d ids, %d mask, %d keep for a batch of %d x %d", len(b.IDs), len(b.Mask), len(b.Keep), s.plan.Batch, s.plan.Seq)
	}
	clean, err := s.clean.Run(ctx, s.model.Params, model.Inputs{IDs: b.IDs, Mask: b.Mask})
	if err != nil {
		return fmt.Errorf("sae: splice: %w", err)
	}
	defer func() { err = errors.Join(err, clean.Free()) }()
	x, err := tensors.CopyFlatData[float32](clean.Site(s.read))
	if err != nil {
		return fmt.Errorf("sae: splice: read %s: %w", s.read, err)
	}
	target := x
	if s.site != s.read {
		if target, err = tensors.CopyFlatData[float32](clean.Site(s.site)); err != nil {
			return fmt.Errorf("sae: splice: read %s: %w", s.site, err)
		}
	}
	for _, v := range ask {
		if v == VariantClean {
			err = visit(v, clean)
		} else {
			err = s.runVariant(ctx, b, v, x, target, visit)
		}
		if err != nil {
			return fmt.Errorf("sae: splice: %s: %w", v, err)
		}
	}
	return nil
}

func (s *Splicer) runVariant(ctx context.Context, b TokenBatch, v Variant, x, target []float32, visit func(Variant, *model.Outputs) error) (err error) {
	where := make([]float32, len(b.IDs))
	for i := range where {
		if b.at(i) {
			where[i] = 1
		}
	}
	place := tensors.FromFlatDataAndDimensions(where, 1, s.plan.Batch, s.plan.Seq)
	edit, program := map[string]*tensors.Tensor{}, s.swap
	if s.inside != nil && (v == VariantSpliced || v == VariantErrorKept) {
		program = s.inside
		for name, t := range s.sae {
			edit[name] = t
		}
		edit["sae"] = place
		if v == VariantErrorKept {
			edit["keep_error"] = tensors.FromScalar(float32(1))
		}
	} else {
		source, err := s.source(ctx, b, v, x, target)
		if err != nil {
			return err
		}
		edit["where"], edit["dims"] = place, tensors.FromScalarAndDimensions(float32(1), s.width)
		edit["source"] = tensors.FromFlatDataAndDimensions(source, s.plan.Batch, s.plan.Seq, s.width)
	}
	out, err := program.Run(ctx, s.model.Params, model.Inputs{IDs: b.IDs, Mask: b.Mask, Edits: []map[string]*tensors.Tensor{edit}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	return visit(v, out)
}

// source is what replaces the site's activations, target [B*T, width], given what the dictionary reads, x; positions that are
// not spliced are not read.
func (s *Splicer) source(ctx context.Context, b TokenBatch, v Variant, x, target []float32) ([]float32, error) {
	w, d := s.width, len(x)/len(b.IDs)
	out := make([]float32, len(target))
	switch v {
	case VariantZero:
		return out, nil
	case VariantMean:
		if s.mean == nil {
			return nil, errors.New("no mean is set; call SetMean")
		}
		for i := range b.IDs {
			copy(out[i*w:(i+1)*w], s.mean)
		}
		return out, nil
	}
	var rows []float32
	n := 0
	for i := range b.IDs {
		if b.at(i) {
			rows = append(rows, x[i*d:(i+1)*d]...)
			n++
		}
	}
	_, y, err := s.dict.Reconstruct(ctx, rows)
	if err != nil {
		return nil, err
	}
	if len(y) != n*w {
		return nil, fmt.Errorf("the dictionary returned %d values for %d rows of width %d", len(y), n, w)
	}
	r := 0
	for i := range b.IDs {
		if !b.at(i) {
			continue
		}
		row := out[i*w : (i+1)*w]
		copy(row, y[r*w:(r+1)*w])
		if v == VariantErrorKept {
			for j := range row {
				row[j] += target[i*w+j] - row[j]
			}
		}
		r++
	}
	return out, nil
}
