package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// GateKind says what an edit's strength is multiplied with.
type GateKind string

// Gates: none; a step or a sigmoid of a probe's score: 1[p.x > tau], sigmoid(s(p.x - tau)).
const (
	GateNone    GateKind = ""
	GateStep    GateKind = "step"
	GateSigmoid GateKind = "sigmoid"
)

// Edit is a class of run-time interventions on one kind of site. With x the site's value it computes
//
//	y  = where(m, r, x) + mu (r - x)
//	y += c (g (sum_j (V_j . (x-b)) U_j + A (x-b)) + a s)
//	y  = y + e (decode(edit(encode(y))) + keep (y - decode(encode(y))) - y)
//
// where every letter is a run-time tensor (EditValues) and all zeros leave x as it is. c is the gate, 1 without one.
// Several edits at one site apply in the order of Plan.Edits.
type Edit struct {
	Site   Kind
	Layers []int // layers at which it is compiled in; nil: every layer
	// Replace adds the hard patch: "where" (m), "dims", "source" (r).
	Replace bool
	// Mix adds the differentiable patch toward the source: "mix" (mu).
	Mix bool
	// SourcePerLayer gives "source" a leading axis over Layers.
	SourcePerLayer bool
	// Add adds "strength" (a) x "direction" (s).
	Add bool
	// Rank adds the low-rank affine map of this many directions: "gate" (g), "V", "U", "bias" (b).
	Rank int
	// Affine adds the full affine map: "gate" (g), "A", "bias" (b).
	Affine bool
	// Latents adds a sparse autoencoder of this width; see saeTensors.
	Latents int
	// TopK keeps the k largest latents; 0 leaves the threshold alone.
	TopK int
	Gate GateKind
	// GateSite is read by the gate; nil is the edited site itself. It must come earlier in the forward pass.
	GateSite *Site
	// GateMax gates a whole row by the largest score of its real tokens instead of each position by its own.
	GateMax bool
	// KeepNorm rescales each edited vector to its old length.
	KeepNorm bool
}

// ranks are the sizes of low-rank edits that are compiled; others would multiply the number of programs.
var ranks = []int{1, 4, 16, 64}

// RankBucket is the smallest compiled rank that holds k directions (unused ones stay zero).
func RankBucket(k int) (int, error) {
	for _, r := range ranks {
		if k <= r {
			return r, nil
		}
	}
	return 0, fmt.Errorf("model: edit of rank %d: at most %d directions fit a low-rank edit; use an affine one", k, ranks[len(ranks)-1])
}

// layers returns the layers at which the edit acts.
func (e *Edit) layers(s *Spec) []int {
	if !e.Site.InBlock() {
		return []int{0}
	}
	if e.Layers != nil {
		return e.Layers
	}
	all := make([]int, s.Layers)
	for i := range all {
		all[i] = i
	}
	return all
}

func (e *Edit) validate(s *Spec) error {
	axes := e.Site.Axes()
	if axes == "bt1" {
		return fmt.Errorf("site %s holds norm scales; edit the norm's output instead", e.Site.Name())
	}
	for _, l := range e.layers(s) {
		if err := s.Has(Site{e.Site, l}); err != nil {
			return err
		}
	}
	linear := e.Rank > 0 || e.Affine || e.Add || e.Latents > 0 || e.Gate != GateNone || e.KeepNorm
	switch {
	case axes == "bhts" && linear:
		return fmt.Errorf("site %s: patterns and scores can be replaced or mixed, not projected", e.Site.Name())
	case e.Rank > 0 && !slices.Contains(ranks, e.Rank):
		return fmt.Errorf("rank %d is not one of %v; use RankBucket", e.Rank, ranks)
	case e.Latents > 0 && e.TopK > e.Latents:
		return fmt.Errorf("top-%d of %d latents", e.TopK, e.Latents)
	case e.Latents > 0 && len(axes) != 3:
		return fmt.Errorf("site %s: latents need a site of shape [b,t,width]", e.Site.Name())
	case e.GateMax && !strings.HasPrefix(axes, "bt"):
		return errors.New("a gate by the row's maximum needs a site with a token axis")
	case e.GateSite != nil && (e.GateSite.Kind.Axes() != axes && len(axes) != 4):
		return fmt.Errorf("gate site %s has another shape than %s", e.GateSite, e.Site.Name())
	}
	return nil
}

// placeDims is the shape of the tensors that say where an edit acts: [l,b], [l,b,t], [l,b,t,h] or, for patterns and
// scores, [l,b,h,t] (the query's position).
func (e *Edit) placeDims(s *Spec, batch, seq int) []int {
	site := s.Dims(e.Site, batch, seq)
	return append([]int{len(e.layers(s))}, site[:len(site)-1]...)
}

// tensors lists the run-time tensors of the edit with their shapes.
func (e *Edit) tensors(s *Spec, batch, seq int) []Input {
	site := s.Dims(e.Site, batch, seq)
	width := site[len(site)-1]
	place := e.placeDims(s, batch, seq)
	var out []Input
	add := func(name string, dims ...int) { out = append(out, Input{name, floatType, dims}) }
	if e.Replace || e.Mix {
		if e.SourcePerLayer {
			add("source", append([]int{place[0]}, site...)...)
		} else {
			add("source", site...)
		}
	}
	if e.Replace {
		add("where", place...)
		add("dims", width)
	}
	if e.Mix {
		add("mix", place...)
	}
	if e.Add {
		add("strength", place...)
		add("direction", width)
	}
	if e.Rank > 0 || e.Affine {
		add("gate", place...)
		add("bias", width)
	}
	if e.Rank > 0 {
		add("V", e.Rank, width)
		add("U", e.Rank, width)
	}
	if e.Affine {
		add("A", width, width)
	}
	if e.Latents > 0 {
		add("sae", place...)
		for _, t := range saeTensors(width, e.Latents) {
			add(t.Name, t.Dims...)
		}
	}
	if e.Gate != GateNone {
		probe := width
		if e.GateSite != nil {
			dims := s.Dims(e.GateSite.Kind, batch, seq)
			probe = dims[len(dims)-1]
		}
		add("probe", probe)
		add("threshold") // scalar
		add("sharpness")
	}
	return out
}

// saeTensors are the tensors of a spliced autoencoder f = act((x - b_dec_in) W_enc + b_enc), x' = f' W_dec + b_dec:
// f keeps pre-activations above "latent_threshold" (and the k largest with Edit.TopK); f' = where(latent_where,
// latent_set, f (1 + latent_scale)). "keep_error" 1 adds the reconstruction error back.
func saeTensors(width, latents int) []Input {
	return []Input{
		{"W_enc", floatType, []int{width, latents}}, {"b_enc", floatType, []int{latents}}, {"b_in", floatType, []int{width}},
		{"W_dec", floatType, []int{latents, width}}, {"b_dec", floatType, []int{width}}, {"latent_threshold", floatType, []int{latents}},
		{"latent_where", floatType, []int{latents}}, {"latent_set", floatType, []int{latents}}, {"latent_scale", floatType, []int{latents}},
		{"keep_error", floatType, nil},
	}
}
