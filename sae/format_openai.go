package sae

import (
	"errors"
	"fmt"
	"slices"

	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// readOpenAI reads a .pt file of openai/sparse_autoencoder: pre_bias [d], encoder.weight [F, d], latent_bias [F],
// decoder.weight [d, F], statistics, and the activation's name. pre_bias is subtracted from the input. One with the
// activation TopK takes the layer norm of its input and undoes it at the output, as the tool does.
func readOpenAI(path string) (*SAE, error) {
	fail := func(err error) (*SAE, error) { return nil, fmt.Errorf("sae: read %s: %w", path, err) }
	f, err := torchzip.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	root, ok := f.Root().(*torchzip.Dict)
	if !ok {
		return fail(errors.New("the file holds no dictionary; want the state_dict of an Autoencoder"))
	}
	s, err := fromOpenAI(root)
	if err != nil {
		return fail(err)
	}
	return s, s.Validate()
}

// fromOpenAI makes an SAE of a state_dict.
func fromOpenAI(root *torchzip.Dict) (*SAE, error) {
	tensors := map[string]*torchzip.Tensor{}
	for _, item := range root.Items() {
		name, isName := item.Key.(string)
		if v, ok := item.Value.(*torchzip.Tensor); ok && isName {
			tensors[name] = v
		}
	}
	t := foreignTorch(tensors)
	if err := t.crosscoder(); err != nil {
		return nil, err
	}
	s := &SAE{Arch: ArchStandard, Normalize: NormalizeNone, ApplyBDecToInput: true, Metadata: map[string]any{}}
	var err error
	if s.DSAE, s.DIn, err = t.matrix("encoder.weight"); err == nil {
		err = checkSizes(s)
	}
	if err != nil {
		return nil, err
	}
	switch activation, _ := root.Get("activation"); activation {
	case nil, "ReLU":
	case "TopK":
		state, _ := root.Get("activation_state_dict")
		d, ok := state.(*torchzip.Dict)
		if !ok {
			return nil, errors.New("activation_state_dict is missing; TopK needs its k")
		}
		k, _ := d.Get("k")
		n, isInt := k.(int64)
		if !isInt || n < 1 || n > int64(s.DSAE) {
			return nil, fmt.Errorf("k is %v; it must be a whole number between 1 and F = %d", k, s.DSAE)
		}
		if after, _ := d.Get("postact_fn"); after != "ReLU" {
			return nil, fmt.Errorf("postact_fn %v is not supported; supported: ReLU", after)
		}
		s.Arch, s.K, s.Normalize = ArchTopK, int(n), normalizeLayerNorm
	default:
		return nil, fmt.Errorf("activation %v is not supported; supported: ReLU, TopK", activation)
	}
	err = t.load(
		place{&s.WEnc, "encoder.weight", []int{s.DSAE, s.DIn}, true}, place{&s.WDec, "decoder.weight", []int{s.DIn, s.DSAE}, true},
		place{&s.BEnc, "latent_bias", []int{s.DSAE}, false}, place{&s.BDec, "pre_bias", []int{s.DIn}, false},
	)
	if err != nil {
		return nil, err
	}
	return s, t.rest("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
}

// crosscoder recognises the weights of a crosscoder of ckkissane/crosscoder-model-diff-replication, W_enc [models, d, F],
// without its configuration.
func (t *foreign) crosscoder() error {
	if shape := t.shapes["W_enc"]; len(shape) == 3 {
		return fmt.Errorf("the file has W_enc of shape %v: a crosscoder of %d sites; put its configuration beside it, as NAME_cfg.json for NAME.pt", shape, shape[0])
	}
	return nil
}

// writeOpenAI writes a file that Autoencoder.from_state_dict of openai/sparse_autoencoder loads. Statistics of
// activations are not known; they get the values that the tool starts with.
func writeOpenAI(s *SAE, path string) ([]string, error) {
	more := []torchzip.Item{{Key: "activation", Value: "ReLU"}}
	c, notes := s, []string(nil)
	switch {
	case s.Arch == ArchStandard && s.Normalize != normalizeLayerNorm:
		var err error
		if c, notes, err = s.adapted(true); err != nil {
			return nil, err
		}
	case s.Arch == ArchTopK && s.Normalize == normalizeLayerNorm && s.ApplyBDecToInput && !s.RescaleByDecoder:
		state := []torchzip.Item{{Key: "k", Value: s.K}, {Key: "postact_fn", Value: "ReLU"}}
		more = []torchzip.Item{{Key: "activation", Value: "TopK"}, {Key: "activation_state_dict", Value: state}}
	default:
		return nil, fmt.Errorf("the tool has standard SAEs without normalisation, and topk with layer_norm and b_dec in the input; this is %s with %s", s.Arch, s.Normalize)
	}
	ones := slices.Repeat([]float32{1}, s.DSAE)
	return notes, torchzip.Write(path, "ae", []safetensors.Tensor{
		safetensors.F32("pre_bias", []int{s.DIn}, c.BDec),
		safetensors.F32("latent_bias", []int{s.DSAE}, c.BEnc),
		safetensors.I64("stats_last_nonzero", []int{s.DSAE}, make([]int64, s.DSAE)),
		safetensors.F32("latents_activation_frequency", []int{s.DSAE}, ones),
		safetensors.F32("latents_mean_square", []int{s.DSAE}, make([]float32, s.DSAE)),
		safetensors.F32("encoder.weight", []int{s.DSAE, s.DIn}, turned(c.WEnc, s.DIn, s.DSAE)),
		safetensors.F32("decoder.weight", []int{s.DIn, s.DSAE}, turned(c.WDec, s.DSAE, s.DIn)),
	}, more...)
}
