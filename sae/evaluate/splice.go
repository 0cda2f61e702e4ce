package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"loupe/internal/stats"
	"loupe/probe/model"
	"loupe/sae"
)

// Kinds of baselines beside the controls.
const (
	BaselineAblation = "ablation" // the site without any dictionary: zeros, or the mean
	BaselineDense    = "dense"    // the activations themselves
)

// baseline is a row of a table that stands for no dictionary.
func baseline(kind, name string) *Dictionary {
	return &Dictionary{Name: name, Method: name, Control: kind}
}

// splicedTokens bounds the tokens of a batch of splices, and splicedLogits its logits.
const (
	splicedTokens = 1024
	splicedLogits = 1 << 25
)

// Splice runs the model with dictionaries in place of the site's activations, on the store's own sequences; special tokens and
// padding are left as they are. For a language model the predictions are compared: cross entropy and divergence, raw and
// against ablations. For a text encoder it is the pooled embedding: its shift, its nearest neighbours, and the nearest
// of some labels.
func (b *Bench) Splice(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	s := b.Subject
	if s == nil {
		return nil, errNoModel
	}
	seqs, err := b.sequences(ctx, s.Length)
	if err != nil {
		return nil, err
	}
	length := longest(seqs)
	if s.Model.Spec.Decoder {
		size := min(splicedTokens/length, splicedLogits/length/s.Model.Spec.Vocab)
		return b.spliceDecoder(ctx, dicts, s.batches(seqs, max(1, size), length), length)
	}
	return b.spliceEncoder(ctx, dicts, s.batches(seqs, max(1, splicedTokens/length), length), length)
}

// errNoModel says that a suite needs a model.
var errNoModel = fmt.Errorf("%w: it needs the model that made the store; give --model", errLeftOut)

// longest is the padded length of sequences.
func longest(seqs []sequence) int {
	most := 0
	for _, s := range seqs {
		most = max(most, len(s.tokens))
	}
	at, _ := slices.BinarySearch(lengths[:], most)
	return lengths[at]
}

// splicer compiles what splicing a dictionary needs.
func (b *Bench) splicer(d *Dictionary, plan model.Plan) (*sae.Splicer, error) {
	s := b.Subject
	read, err := s.site(d, d.Sites)
	if err != nil {
		return nil, err
	}
	if !d.Transcoder() {
		return sae.NewSplicer(s.Engine, s.Model, read, plan, d.SAE, d)
	}
	write, err := s.site(d, d.Targets)
	if err != nil {
		return nil, err
	}
	return sae.NewTranscoderSplicer(s.Engine, s.Model, read, write, plan, d)
}

// spliceable lists the dictionaries that can be spliced; why the others cannot is put into the outcome.
func (b *Bench) spliceable(o *Outcome, dicts []*Dictionary) ([]*Dictionary, error) {
	var out []*Dictionary
	for _, d := range dicts {
		_, err := b.Subject.site(d, d.Sites)
		if errors.Is(err, errLeftOut) {
			o.leaveOut(d, err.Error())
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no dictionary can be spliced", errLeftOut)
	}
	return out, nil
}

func (b *Bench) spliceDecoder(ctx context.Context, dicts []*Dictionary, batches []sae.TokenBatch, length int) (*Outcome, error) {
	o := &Outcome{Suite: "splice", Metrics: []Metric{
		{Name: "ce_loss_score", Better: Higher}, {Name: "kl_div_score", Better: Higher}, {Name: "delta_ce", Better: Lower}, {Name: "kl", Better: Lower},
		{Name: "ce_loss_score_mean_ablation", Better: Higher}, {Name: "kl_div_score_mean_ablation", Better: Higher, Hidden: true},
		{Name: "delta_ce_error_kept", Hidden: true}, {Name: "kl_error_kept", Hidden: true},
	}}
	dicts, err := b.spliceable(o, dicts)
	if err != nil {
		return nil, err
	}
	plan := model.Plan{Batch: len(batches[0].IDs) / length, Seq: length, Logits: model.LogitsAll}
	bar := b.progress("splice", "batches", int64(len(batches)*(len(dicts)+1)))
	defer bar.Done()
	ablated := map[string]sae.TextLosses{} // by the site that is replaced
	for _, d := range dicts {
		sp, err := b.splicer(d, plan)
		if err != nil {
			return nil, err
		}
		at := d.replaced()
		done := func(int64) { bar.Add(1) }
		if _, ok := ablated[at]; !ok {
			if ablated[at], err = sae.SpliceTexts(ctx, sp, batches, []sae.Variant{sae.VariantZero, sae.VariantMean}, done); err != nil {
				return nil, err
			}
		}
		own, err := sae.SpliceTexts(ctx, sp, batches, []sae.Variant{sae.VariantSpliced, sae.VariantErrorKept}, done)
		if err != nil {
			return nil, err
		}
		joint, err := own.With(ablated[at])
		if err != nil {
			return nil, err
		}
		r, err := joint.Report(ctx, b.Boot)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
		}
		spliced, kept := r.Variants[sae.VariantSpliced], r.Variants[sae.VariantErrorKept]
		o.Scores = append(o.Scores, Score{Dictionary: d.Name, Detail: r, Values: map[string]stats.Interval{
			"ce_loss_score": r.CERecovered, "kl_div_score": r.KLRecovered, "delta_ce": spliced.DeltaCE, "kl": spliced.KL,
			"ce_loss_score_mean_ablation": r.CERecoveredMean, "kl_div_score_mean_ablation": r.KLRecoveredMean,
			"delta_ce_error_kept": kept.DeltaCE, "kl_error_kept": kept.KL,
		}})
		o.On = fmt.Sprintf("%d texts, %d predictions of %s; clean cross entropy %.4f nats; intervals over texts", r.Texts, r.Tokens, b.Subject.Model.Name, r.CleanCE)
		if len(o.baselines) == 0 {
			for _, a := range ablations {
				v := r.Variants[a.variant]
				o.addBaseline(baseline(BaselineAblation, a.name), map[string]stats.Interval{"delta_ce": v.DeltaCE, "kl": v.KL})
			}
		}
	}
	o.noteModel(b)
	return o, nil
}

// replaced is the site that a splice writes.
func (d *Dictionary) replaced() string {
	if d.Transcoder() {
		return d.sites().write
	}
	return d.sites().read
}

// addBaseline adds a row for something that is no dictionary.
func (o *Outcome) addBaseline(d *Dictionary, values map[string]stats.Interval) {
	o.baselines = append(o.baselines, d)
	o.Scores = append(o.Scores, Score{Dictionary: d.Name, Values: values})
}

// noteModel says where the model is not the store's.
func (o *Outcome) noteModel(b *Bench) {
	if b.Store == nil { // generated texts alone
		return
	}
	if why := b.Subject.Differs(b.Store.Manifest()); why != "" {
		o.Notes = append(o.Notes, why)
	}
}
