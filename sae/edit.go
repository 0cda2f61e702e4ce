package sae

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Edit returns the class of a model edit that computes s at a site, and the run-time tensors of its weights; those that say
// where it acts and which latents change are the caller's. It fails for an autoencoder that model.Edit does not compute.
func (s *SAE) Edit(e *model.Engine, site model.Site) (model.Edit, map[string]*tensors.Tensor, error) {
	if err := s.Validate(); err != nil {
		return model.Edit{}, nil, err
	}
	k, ok := insideModel(e, s)
	if !ok || s.Transcoder() {
		return model.Edit{}, nil, fmt.Errorf("sae: edit: a %s autoencoder with normalisation %q does not run inside a model on backend %s; only standard, jumprelu and, on XLA, topk ones without normalisation do", s.Arch, s.Normalize, e.Backend())
	}
	edit := model.Edit{Site: site.Kind, Latents: s.DSAE, TopK: k}
	if site.Kind.InBlock() {
		edit.Layers = []int{site.Layer}
	}
	return edit, editTensors(s), nil
}

// insideModel tells whether model.Edit computes the autoencoder's function, and with which TopK.
func insideModel(e *model.Engine, s *SAE) (k int, ok bool) {
	if s == nil || s.RescaleByDecoder || s.Normalize != NormalizeNone && s.Normalize != NormalizeExpected {
		return 0, false
	}
	switch s.Arch {
	case ArchStandard, ArchJumpReLU:
		return 0, true
	case ArchTopK:
		return s.K, e.Backend().String() != "go" // where TopK does not finish
	}
	return 0, false
}

// editTensors are the run-time tensors of a model.Edit that holds s.
func editTensors(s *SAE) map[string]*tensors.Tensor {
	in := map[string]*tensors.Tensor{
		"W_enc": tensors.FromFlatDataAndDimensions(s.WEnc, s.DIn, s.DSAE), "b_enc": tensors.FromFlatDataAndDimensions(s.BEnc, s.DSAE),
		"W_dec": tensors.FromFlatDataAndDimensions(s.WDec, s.DSAE, s.DIn), "b_dec": tensors.FromFlatDataAndDimensions(s.BDec, s.DIn),
	}
	if s.ApplyBDecToInput {
		in["b_in"] = in["b_dec"]
	}
	if s.Arch == ArchJumpReLU {
		threshold := make([]float32, s.DSAE)
		for i, v := range s.Threshold {
			threshold[i] = max(v, 0) // below zero the ReLU decides
		}
		in["latent_threshold"] = tensors.FromFlatDataAndDimensions(threshold, s.DSAE)
	}
	return in
}
