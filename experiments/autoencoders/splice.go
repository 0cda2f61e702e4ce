package autoencoders

import (
	"context"
	"fmt"
	"math"

	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/sae"
)

// Spliced is what a dictionary in the model does to every text: to its embedding in a text encoder, to the losses of its
// tokens in a language model.
type Spliced struct {
	Name   string          `json:"name"`
	Method string          `json:"method"`
	Seed   uint64          `json:"seed"`
	Shifts *sae.TextShifts `json:"shifts,omitempty"`
	Losses *sae.TextLosses `json:"losses,omitempty"`
}

// Ablated is what the model's texts are compared with.
type Ablated struct {
	Docs   []int64         `json:"docs"`             // the texts
	Shifts *sae.TextShifts `json:"shifts,omitempty"` // encoder: the mean at every spliced position
	Losses *sae.TextLosses `json:"losses,omitempty"` // language model: clean, zeros and the mean
	// Check is how much changes when the reconstruction error is kept: the largest 1 - cosine, or the mean divergence.
	Check float64 `json:"check"`
}

// splicer runs the held-out texts with a dictionary in the model.
type splicer struct {
	*experiment
	docs    []int64
	batches []sae.TokenBatch
	mean    []float32
}

// splicer draws the texts and pads them to the longest sequence that the store may have.
func (x *experiment) splicer(ctx context.Context, st *store.Store, base *Base) (*splicer, error) {
	docs, err := lab.OpenDocuments(ctx, st)
	if err != nil {
		return nil, err
	}
	s := &splicer{experiment: x, mean: base.mean()}
	enough := func(doc int64) bool { return docs.Tokens(doc) >= x.cfg.Splice.MinTokens }
	if s.docs, err = docs.Sample(text.HeldOut, enough, x.cfg.Splice.Texts, int64(x.cfg.Seed)); err != nil {
		return nil, fmt.Errorf("splice.texts: %w", err)
	}
	size, length := x.cfg.Splice.Batch, x.cfg.Text.MaxLength
	pad := max(0, x.Tokenizer.Specials().PAD)
	for lo := 0; lo < len(s.docs); lo += size {
		b := sae.TokenBatch{IDs: make([]int32, size*length), Mask: make([]int32, size*length), Keep: make([]bool, size*length)}
		for i := range b.IDs {
			b.IDs[i] = int32(pad)
		}
		for r, doc := range s.docs[lo : lo+size] {
			rows, err := docs.Rows(doc)
			if err != nil {
				return nil, err
			}
			tokens, err := st.TokenRows(rows)
			if err != nil {
				return nil, err
			}
			for p, t := range tokens {
				at := r*length + p
				b.IDs[at], b.Mask[at], b.Keep[at] = t.Token, 1, p >= x.cfg.Text.FromPos && (x.cfg.Text.Special || !t.Special)
			}
		}
		s.batches = append(s.batches, b)
	}
	return s, nil
}

// open compiles, or finds compiled, what splicing a dictionary needs.
func (s *splicer) open(dict sae.Reconstructor) (*sae.Splicer, error) {
	plan := model.Plan{Batch: s.cfg.Splice.Batch, Seq: s.cfg.Text.MaxLength}
	if s.encoder {
		plan.Captures = []model.Capture{{Site: model.Site{Kind: model.Sentence}}}
	} else {
		plan.Logits = model.LogitsAll
	}
	sp, err := sae.NewSplicer(s.Engine, s.Model, s.site, plan, nil, dict)
	if err != nil {
		return nil, err
	}
	return sp, sp.SetMean(s.mean)
}

// embed returns the embeddings of all texts under the variants.
func (s *splicer) embed(ctx context.Context, sp *sae.Splicer, done func(int64), ask ...sae.Variant) (map[sae.Variant][]float32, int, error) {
	out, width := map[sae.Variant][]float32{}, 0
	for i := range s.batches {
		part, w, err := sae.SpliceEmbeddings(ctx, sp, model.Site{Kind: model.Sentence}, s.batches[i:i+1], ask)
		if err != nil {
			return nil, 0, err
		}
		for v, x := range part {
			out[v] = append(out[v], x...)
		}
		width = w
		done(int64(s.cfg.Splice.Batch))
	}
	return out, width, nil
}

// ablate measures what every dictionary is compared with, and that keeping the error of one changes nothing.
func (s *splicer) ablate(ctx context.Context, d dictionary) (*Ablated, error) {
	return lab.Step(s.Dir, "ablate", func() (*Ablated, error) {
		dict, free, err := d.open()
		if err != nil {
			return nil, err
		}
		defer free()
		sp, err := s.open(dict)
		if err != nil {
			return nil, err
		}
		bar := s.Progress("ablate", "texts", int64(len(s.docs)))
		defer bar.Done()
		out := &Ablated{Docs: s.docs}
		if !s.encoder {
			t, err := sae.SpliceTexts(ctx, sp, s.batches, []sae.Variant{sae.VariantZero, sae.VariantMean, sae.VariantErrorKept}, bar.Add)
			if err != nil {
				return nil, err
			}
			out.Losses, out.Check = &t, t.KLOf(sae.VariantErrorKept)(lab.UpTo(len(t.Tokens)))
			return out, nil
		}
		e, w, err := s.embed(ctx, sp, bar.Add, sae.VariantClean, sae.VariantMean, sae.VariantErrorKept)
		if err != nil {
			return nil, err
		}
		mean, err := sae.ShiftsOf(ctx, e[sae.VariantClean], e[sae.VariantMean], w, s.cfg.Splice.Neighbours)
		if err != nil {
			return nil, err
		}
		kept, err := sae.ShiftsOf(ctx, e[sae.VariantClean], e[sae.VariantErrorKept], w, s.cfg.Splice.Neighbours)
		if err != nil {
			return nil, err
		}
		for _, c := range kept.Cosine {
			out.Check = max(out.Check, math.Abs(1-c))
		}
		out.Shifts = &mean
		return out, nil
	})
}

// splice measures a dictionary in the model; a finished one is read back.
func (s *splicer) splice(ctx context.Context, d dictionary) (*Spliced, error) {
	return lab.Step(s.Dir, "splice-"+d.name, func() (*Spliced, error) {
		dict, free, err := d.open()
		if err != nil {
			return nil, err
		}
		defer free()
		sp, err := s.open(dict)
		if err != nil {
			return nil, err
		}
		bar := s.Progress("splice "+d.name, "texts", int64(len(s.docs)))
		defer bar.Done()
		out := &Spliced{Name: d.name, Method: d.method, Seed: d.seed}
		if !s.encoder {
			t, err := sae.SpliceTexts(ctx, sp, s.batches, []sae.Variant{sae.VariantSpliced}, bar.Add)
			out.Losses = &t
			return out, err
		}
		e, w, err := s.embed(ctx, sp, bar.Add, sae.VariantClean, sae.VariantSpliced)
		if err != nil {
			return nil, err
		}
		t, err := sae.ShiftsOf(ctx, e[sae.VariantClean], e[sae.VariantSpliced], w, s.cfg.Splice.Neighbours)
		out.Shifts = &t
		return out, err
	})
}

// join adds the ablations to the losses of the spliced texts.
func (a *Ablated) join(all []*measured) error {
	if a.Losses == nil {
		return nil
	}
	for _, m := range all {
		t, err := m.splice.Losses.With(*a.Losses)
		if err != nil {
			return fmt.Errorf("autoencoders: %s: %w", m.splice.Name, err)
		}
		m.splice.Losses = &t
	}
	return nil
}
