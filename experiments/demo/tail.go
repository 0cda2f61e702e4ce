package demo

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
	"loupe/sae"
)

// cells is the number of positions of a batch, padding included.
const cells = 1024

// Tail runs a text encoder from the residual stream that enters a block to the sentence embedding, with a run-time edit
// of that stream. It compiles two programs per length bucket: one that can replace the stream and one with a sparse
// autoencoder in it. Which latents are changed, and how, is a run-time tensor.
type Tail struct {
	engine  *model.Engine
	model   *model.Model
	layer   int
	buckets []int // padded lengths, ascending
	latents int
	k       int
}

// NewTail returns the encoder's part from the given block on. buckets are the padded lengths, ascending; latents and k
// are the sizes of the autoencoders that can be spliced in.
func NewTail(engine *model.Engine, m *model.Model, layer int, buckets []int, latents, k int) (*Tail, error) {
	if err := m.Spec.Has(model.Site{Kind: model.Sentence}); err != nil {
		return nil, fmt.Errorf("demo: model %s: %w; the demo needs a sentence encoder such as minilm", m.Name, err)
	}
	return &Tail{engine: engine, model: m, layer: layer, buckets: buckets, latents: latents, k: k}, nil
}

// Width is the length of a sentence embedding.
func (t *Tail) Width() int { return t.model.Spec.Width(model.Sentence, 1) }

// Edit is what is done to the residual stream at every real position. The zero value leaves it alone.
type Edit struct {
	// Mean, [d], replaces every position.
	Mean []float32
	// SAE encodes and decodes every position, with the latents of Off at zero.
	SAE *Spliced
	Off []int32
	// KeepError adds the reconstruction error back, so that only the latents of Off are missing.
	KeepError bool
}

// Spliced is an autoencoder on its way into the graph; its tensors are handed over once.
type Spliced struct {
	weights map[string]*tensors.Tensor
	latents int
	k       int
}

// Splice prepares a TopK autoencoder for an Edit. Free releases its tensors.
func Splice(s *sae.SAE) (*Spliced, error) {
	if s.Arch != sae.ArchTopK || s.RescaleByDecoder || (s.Normalize != sae.NormalizeNone && s.Normalize != sae.NormalizeExpected) {
		return nil, fmt.Errorf("demo: splice: only plain TopK autoencoders are supported, not %s with normalisation %q; fold the norms into its weights", s.Arch, s.Normalize)
	}
	d, f := s.DIn, s.DSAE
	w := map[string]*tensors.Tensor{
		"W_enc": tensors.FromFlatDataAndDimensions(s.WEnc, d, f), "b_enc": tensors.FromFlatDataAndDimensions(s.BEnc, f),
		"W_dec": tensors.FromFlatDataAndDimensions(s.WDec, f, d), "b_dec": tensors.FromFlatDataAndDimensions(s.BDec, d),
	}
	if s.ApplyBDecToInput {
		w["b_in"] = tensors.FromFlatDataAndDimensions(s.BDec, d)
	}
	return &Spliced{w, f, s.K}, nil
}

// Free releases the tensors.
func (s *Spliced) Free() error {
	for name, t := range s.weights {
		if err := t.FinalizeAll(); err != nil {
			return fmt.Errorf("demo: free %s: %w", name, err)
		}
	}
	return nil
}

// Embed returns the sentence embeddings of the chosen texts under an edit, [len(which), width], of norm 1.
func (t *Tail) Embed(ctx context.Context, texts *Texts, which []int, e Edit, done func(n int64)) ([]float32, error) {
	if e.SAE != nil && (e.SAE.latents != t.latents || e.SAE.k != t.k) {
		return nil, fmt.Errorf("demo: an autoencoder of %d latents, k %d, in a program for %d latents, k %d", e.SAE.latents, e.SAE.k, t.latents, t.k)
	}
	values, free, err := t.values(e)
	if err != nil {
		return nil, err
	}
	defer free()
	out := make([]float32, len(which)*t.Width())
	byBucket := make([][]int, len(t.buckets)) // places in which
	for at, i := range which {
		n := texts.Start[i+1] - texts.Start[i]
		b, _ := slices.BinarySearch(t.buckets, n)
		if b == len(t.buckets) {
			return nil, fmt.Errorf("demo: text %d has %d tokens; the longest bucket holds %d", i, n, t.buckets[b-1])
		}
		byBucket[b] = append(byBucket[b], at)
	}
	for b, places := range byBucket {
		size := max(1, cells/t.buckets[b])
		for chunk := range slices.Chunk(places, size) {
			if err := t.batch(ctx, texts, which, chunk, size, t.buckets[b], e, values, out); err != nil {
				return nil, err
			}
			if done != nil {
				done(int64(len(chunk)))
			}
		}
	}
	for i := range which {
		unit(out[i*t.Width() : (i+1)*t.Width()])
	}
	return out, nil
}

// plan is the program's plan for one bucket.
func (t *Tail) plan(size, length int, withSAE bool) model.Plan {
	edit := model.Edit{Site: model.ResidPre, Layers: []int{t.layer}, Replace: true}
	if withSAE {
		edit = model.Edit{Site: model.ResidPre, Layers: []int{t.layer}, Latents: t.latents, TopK: t.k}
	}
	return model.Plan{
		Batch: size, Seq: length, From: t.layer, Edits: []model.Edit{edit},
		Captures: []model.Capture{{Site: model.Site{Kind: model.Sentence}}},
	}
}

// values are the edit's tensors that do not depend on the batch; free releases those made here.
func (t *Tail) values(e Edit) (map[string]*tensors.Tensor, func(), error) {
	values := map[string]*tensors.Tensor{}
	if e.SAE == nil {
		return values, func() {}, nil
	}
	for name, w := range e.SAE.weights {
		values[name] = w
	}
	off := make([]float32, t.latents)
	for _, j := range e.Off {
		if j < 0 || int(j) >= t.latents {
			return nil, nil, fmt.Errorf("demo: latent %d of %d", j, t.latents)
		}
		off[j] = 1
	}
	values["latent_where"] = tensors.FromFlatDataAndDimensions(off, t.latents) // latent_set stays 0
	keep := float32(0)
	if e.KeepError {
		keep = 1
	}
	values["keep_error"] = tensors.FromScalar(keep)
	mine := []*tensors.Tensor{values["latent_where"], values["keep_error"]}
	return values, func() { finalize(mine...) }, nil
}

// batch embeds up to size texts of one bucket and puts them at their places of out.
func (t *Tail) batch(ctx context.Context, texts *Texts, which, places []int, size, length int, e Edit, shared map[string]*tensors.Tensor, out []float32) error {
	d := texts.Width
	x, mask := make([]float32, size*length*d), make([]int32, size*length)
	here := make([]float32, size*length)
	for r, at := range places {
		rows := texts.Rows(which[at])
		copy(x[r*length*d:], rows)
		for p := range len(rows) / d {
			mask[r*length+p], here[r*length+p] = 1, 1
		}
	}
	for r := len(places); r < size; r++ {
		mask[r*length] = 1 // a row without tokens would divide by zero
	}
	program, err := t.engine.Compile(t.model.Spec, t.plan(size, length, e.SAE != nil))
	if err != nil {
		return err
	}
	values := map[string]*tensors.Tensor{}
	mine := []*tensors.Tensor{tensors.FromFlatDataAndDimensions(x, size, length, d)}
	in := model.Inputs{Input: mine[0], Mask: mask, Edits: []map[string]*tensors.Tensor{values}}
	own := func(name string, v *tensors.Tensor) {
		values[name] = v
		mine = append(mine, v)
	}
	for name, v := range shared {
		values[name] = v
	}
	switch {
	case e.SAE != nil:
		own("sae", tensors.FromFlatDataAndDimensions(here, 1, size, length))
	case e.Mean != nil:
		source := make([]float32, 0, size*length*d)
		for range size * length {
			source = append(source, e.Mean...)
		}
		own("source", tensors.FromFlatDataAndDimensions(source, size, length, d))
		own("where", tensors.FromFlatDataAndDimensions(here, 1, size, length))
	}
	defer func() { finalize(mine...) }()
	outputs, err := program.Run(ctx, t.model.Params, in)
	if err != nil {
		return err
	}
	w := t.Width()
	err = tensors.ConstFlatData(outputs.Site(model.Site{Kind: model.Sentence}), func(flat []float32) {
		for r, at := range places {
			copy(out[at*w:(at+1)*w], flat[r*w:(r+1)*w])
		}
	})
	if err != nil {
		return fmt.Errorf("demo: read embeddings: %w", err)
	}
	return outputs.Free()
}

// finalize releases tensors that nothing reads any more; a failure only delays their release to the collector.
func finalize(ts ...*tensors.Tensor) {
	for _, t := range ts {
		_ = t.FinalizeAll()
	}
}
