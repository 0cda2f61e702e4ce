package vectors

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
	"loupe/sae"
)

// LatentClamp sets some latents of a sparse autoencoder to a value and leaves everything else, the reconstruction error too:
//
//	x' = x + sum_k (f'_k - f_k) W_dec[k],  f'_k = Value or, with Active, (1 + Scale) f_k
//
// Value 0 for the k latents of a concept removes it.
type LatentClamp struct {
	SAE     *sae.SAE
	Latents []int
	// Value is what the latents are set to, at every position.
	Value float64
	// Active sets only where the latent is active, by scaling: f' = (1 + Scale) f; Value is not read. -1 ablates.
	Active bool
	Scale  float64
}

// Apply returns the clamped rows of x [n, d], computed in float32.
func (c LatentClamp) Apply(x *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	chosen, err := c.check(d)
	if err != nil {
		return nil, err
	}
	if norm := c.SAE.Normalize; norm != sae.NormalizeNone && norm != sae.NormalizeExpected {
		return nil, fmt.Errorf("vectors: latent clamp of an SAE with normalisation %q: %w; its latents do not add up in x", norm, ErrArgument)
	}
	latents, err := c.SAE.Encode(float32s(mat.DenseCopyOf(x).RawMatrix().Data))
	if err != nil {
		return nil, fmt.Errorf("vectors: latent clamp: %w", err)
	}
	// the change of each row's latents, and what it decodes to above the bias
	change := sae.Latents{Start: make([]int, 1, n+1)}
	old := make([]float32, len(chosen))
	for r := range n {
		clear(old)
		index, value := latents.Row(r)
		for j, l := range index {
			if at, ok := chosen[int(l)]; ok {
				old[at] = value[j]
			}
		}
		for at, l := range c.Latents {
			to := float32(c.Value)
			if c.Active {
				to = old[at] * float32(1+c.Scale)
			}
			change.Index, change.Value = append(change.Index, int32(l)), append(change.Value, to-old[at])
		}
		change.Start = append(change.Start, len(change.Index))
	}
	moved, err := c.SAE.Decode(change)
	if err != nil {
		return nil, fmt.Errorf("vectors: latent clamp: %w", err)
	}
	out := mat.DenseCopyOf(x)
	for i := range n {
		row := out.RawRowView(i)
		for j := range row {
			row[j] += float64(moved[i*d+j]) - float64(c.SAE.BDec[j])
		}
	}
	return out, nil
}

// Edit makes the clamp act at a site of a model, at every position of [batch, seq], with the given strength: 1 is Apply.
func (c LatentClamp) Edit(e *model.Engine, spec *model.Spec, site model.Site, batch, seq int, strength float64) (*Edit, error) {
	if _, err := editClass(spec, site, c.SAE.DIn, seq); err != nil {
		return nil, err
	}
	if _, err := c.check(c.SAE.DIn); err != nil {
		return nil, err
	}
	class, values, err := c.SAE.Edit(e, site)
	if err != nil {
		return nil, fmt.Errorf("vectors: latent clamp: %w", err)
	}
	name, to := "latent_set", float32(c.Value)
	if c.Active {
		name, to = "latent_scale", float32(c.Scale)
	}
	where, set := make([]float32, c.SAE.DSAE), make([]float32, c.SAE.DSAE)
	for _, l := range c.Latents {
		where[l], set[l] = 1, to
	}
	values[name] = tensors.FromFlatDataAndDimensions(set, c.SAE.DSAE)
	if !c.Active {
		values["latent_where"] = tensors.FromFlatDataAndDimensions(where, c.SAE.DSAE)
	}
	values["keep_error"] = tensors.FromScalar(float32(1))
	values["sae"] = everywhere(spec, site, batch, seq, strength)
	return &Edit{Class: class, Values: values}, nil
}

// check returns the place of each chosen latent.
func (c LatentClamp) check(d int) (map[int]int, error) {
	if c.SAE == nil || c.SAE.DIn != d || c.SAE.Transcoder() {
		return nil, fmt.Errorf("vectors: latent clamp at activations of width %d: %w; give an autoencoder of this site", d, ErrShape)
	}
	if len(c.Latents) == 0 || math.IsNaN(c.Value) || math.IsInf(c.Value, 0) || math.IsNaN(c.Scale) || math.IsInf(c.Scale, 0) {
		return nil, fmt.Errorf("vectors: latent clamp of %d latents to %v (scale %v): %w; name latents and a finite value", len(c.Latents), c.Value, c.Scale, ErrArgument)
	}
	chosen := make(map[int]int, len(c.Latents))
	for i, l := range c.Latents {
		if _, twice := chosen[l]; twice || l < 0 || l >= c.SAE.DSAE {
			return nil, fmt.Errorf("vectors: latent clamp: latent %d of %d, named once: %w", l, c.SAE.DSAE, ErrArgument)
		}
		chosen[l] = i
	}
	return chosen, nil
}
