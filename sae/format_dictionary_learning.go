package sae

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// The files of a trainer's folder of dictionary_learning.
const (
	dictionaryWeights = "ae.pt"
	dictionaryConfig  = "config.json"
)

// dictionaryKey is where the metadata of an SAE keeps dictionary_learning's configuration and what has no other place:
// k and group_sizes of a (Matryoshka) BatchTopK, the unused threshold of a TopK.
const dictionaryKey = "dictionary_learning"

// The classes of dictionary_learning.
const (
	classStandard   = "AutoEncoder"
	classNew        = "AutoEncoderNew"
	classGated      = "GatedAutoEncoder"
	classTopK       = "AutoEncoderTopK"
	classBatchTopK  = "BatchTopKSAE"
	classMatryoshka = "MatryoshkaBatchTopKSAE"
	classJumpReLU   = "JumpReluAutoEncoder"
)

// dictionaryTrainer is the part of config.json that says what the SAE is.
type dictionaryTrainer struct {
	Trainer struct {
		Class     string `json:"dict_class"`
		DIn       int    `json:"activation_dim"`
		DSAE      int    `json:"dict_size"`
		K         int    `json:"k"`
		Model     string `json:"lm_name"`
		Submodule string `json:"submodule_name"`
	} `json:"trainer"`
	Buffer struct {
		Context int `json:"ctx_len"`
	} `json:"buffer"`
}

// readDictionaryLearning reads a trainer_N folder of dictionary_learning: config.json and ae.pt, the state_dict of one of
// its classes. The SAE computes what the class's encode does by default: AutoEncoderTopK takes the k largest of each
// row; BatchTopKSAE and MatryoshkaBatchTopKSAE compare with their threshold, so that they become jumprelu.
// JumpReluAutoEncoder and AutoEncoderNew do not subtract the decoder's bias from the input. The decoder is read as it is
// stored: AutoEncoder.from_pretrained of the tool normalises it, which scales activations but not reconstructions.
func readDictionaryLearning(dir string) (*SAE, error) {
	fail := func(err error) (*SAE, error) { return nil, fmt.Errorf("sae: read %s: %w", dir, err) }
	raw, err := readConfig(filepath.Join(dir, dictionaryConfig))
	if err != nil {
		return fail(err)
	}
	var c dictionaryTrainer
	if err := decodeConfig(raw, &c); err != nil {
		return fail(fmt.Errorf("%s: %w", dictionaryConfig, err))
	}
	if c.Trainer.Class == "" {
		return fail(fmt.Errorf("%s: trainer.dict_class is missing", dictionaryConfig))
	}
	f, err := torchzip.Open(filepath.Join(dir, dictionaryWeights))
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	tensors, err := f.StateDict()
	if err != nil {
		return fail(err)
	}
	s, err := fromDictionary(c, raw, tensors)
	if err != nil {
		return fail(fmt.Errorf("%s of class %s: %w", dictionaryWeights, c.Trainer.Class, err))
	}
	return s, s.Validate()
}

// fromDictionary makes an SAE of a state_dict. raw becomes part of its metadata.
func fromDictionary(c dictionaryTrainer, raw map[string]any, tensors map[string]*torchzip.Tensor) (*SAE, error) {
	s := &SAE{Arch: ArchStandard, Normalize: NormalizeNone, ApplyBDecToInput: true, Metadata: dictionaryMetadata(c, raw)}
	t := foreignTorch(tensors)
	linear := true // encoder and decoder are modules: weights are [out, in]
	var err error
	switch c.Trainer.Class {
	case classJumpReLU, classMatryoshka:
		linear = false
		s.DIn, s.DSAE, err = t.matrix("W_enc")
	case classStandard, classNew, classGated, classTopK, classBatchTopK:
		s.DSAE, s.DIn, err = t.matrix("encoder.weight")
	default:
		return nil, errors.New("the class is not supported")
	}
	if err == nil {
		err = checkSizes(s)
	}
	if err != nil {
		return nil, err
	}
	if (c.Trainer.DIn != 0 && c.Trainer.DIn != s.DIn) || (c.Trainer.DSAE != 0 && c.Trainer.DSAE != s.DSAE) {
		return nil, fmt.Errorf("the weights have d %d and F %d, but %s says %d and %d", s.DIn, s.DSAE, dictionaryConfig, c.Trainer.DIn, c.Trainer.DSAE)
	}
	d, f := []int{s.DIn}, []int{s.DSAE}
	places := []place{{&s.WEnc, "encoder.weight", []int{s.DSAE, s.DIn}, true}, {&s.WDec, "decoder.weight", []int{s.DIn, s.DSAE}, true}}
	if !linear {
		places = []place{{&s.WEnc, "W_enc", []int{s.DIn, s.DSAE}, false}, {&s.WDec, "W_dec", []int{s.DSAE, s.DIn}, false}, {&s.BEnc, "b_enc", f, false}, {&s.BDec, "b_dec", d, false}}
	}
	switch c.Trainer.Class {
	case classStandard:
		places = append(places, place{&s.BEnc, "encoder.bias", f, false}, place{&s.BDec, "bias", d, false})
	case classNew:
		s.ApplyBDecToInput = false
		places = append(places, place{&s.BEnc, "encoder.bias", f, false}, place{&s.BDec, "decoder.bias", d, false})
	case classGated:
		s.Arch = ArchGated
		places = append(places, place{&s.BDec, "decoder_bias", d, false}, place{&s.RMag, "r_mag", f, false}, place{&s.BGate, "gate_bias", f, false}, place{&s.BMag, "mag_bias", f, false})
	case classTopK, classBatchTopK:
		places = append(places, place{&s.BEnc, "encoder.bias", f, false}, place{&s.BDec, "b_dec", d, false})
	case classJumpReLU:
		s.Arch, s.ApplyBDecToInput = ArchJumpReLU, false
		places = append(places, place{&s.Threshold, "threshold", f, false})
	}
	if err := t.load(places...); err != nil {
		return nil, err
	}
	if slices.Contains([]string{classTopK, classBatchTopK, classMatryoshka}, c.Trainer.Class) {
		if err := s.dictionaryK(c, t, tensors); err != nil {
			return nil, err
		}
	}
	return s, t.rest()
}

// dictionaryK reads k, threshold and group sizes of the classes that have them.
func (s *SAE) dictionaryK(c dictionaryTrainer, t *foreign, tensors map[string]*torchzip.Tensor) error {
	extra := s.Metadata[dictionaryKey].(map[string]any)
	k := int64(c.Trainer.K)
	if buffer := tensors["k"]; buffer != nil {
		var err error
		if k, err = buffer.Int64(); err != nil {
			return fmt.Errorf("tensor k: %w", err)
		}
		t.used["k"] = true
	}
	if c.Trainer.K != 0 && int64(c.Trainer.K) != k {
		return fmt.Errorf("k is %d in the weights and %d in %s", k, c.Trainer.K, dictionaryConfig)
	}
	if k < 1 || k > int64(s.DSAE) {
		return fmt.Errorf("k is %d; it must be between 1 and F = %d", k, s.DSAE)
	}
	extra["k"] = float64(k)
	threshold := float32(-1) // as the tool has it before its threshold is set
	if t.shapes["threshold"] != nil {
		v, err := t.floats("threshold")
		if err != nil {
			return err
		}
		threshold = v[0]
	}
	extra["threshold"] = float64(threshold)
	if c.Trainer.Class == classTopK {
		s.Arch, s.K = ArchTopK, int(k)
		return nil
	}
	s.Arch = ArchJumpReLU
	s.Threshold = make([]float32, s.DSAE)
	for i := range s.Threshold {
		s.Threshold[i] = threshold
	}
	if c.Trainer.Class != classMatryoshka {
		return nil
	}
	groups := tensors["group_sizes"]
	if groups == nil {
		return errors.New("tensor group_sizes is missing")
	}
	sizes, err := groups.Int64s()
	if err != nil {
		return fmt.Errorf("tensor group_sizes: %w", err)
	}
	t.used["group_sizes"] = true
	total, list := int64(0), []any{}
	for _, n := range sizes {
		if n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("group_sizes are %v; they must be positive", sizes)
		}
		total += n
		list = append(list, float64(n))
	}
	if total != int64(s.DSAE) {
		return fmt.Errorf("group_sizes %v have the sum %d, want F = %d", sizes, total, s.DSAE)
	}
	extra["group_sizes"] = list
	return nil
}

// dictionaryMetadata keeps the configuration and names model, site and context as SAELens does.
func dictionaryMetadata(c dictionaryTrainer, raw map[string]any) map[string]any {
	meta := map[string]any{dictionaryKey: maps.Clone(raw)}
	if c.Trainer.Model != "" {
		meta["model_name"] = c.Trainer.Model
	}
	if c.Buffer.Context > 0 {
		meta["context_size"] = c.Buffer.Context
	}
	m := regexp.MustCompile(`^(resid_post|mlp_out|attention_out)_layer_(\d+)$`).FindStringSubmatch(c.Trainer.Submodule)
	if m != nil {
		meta["hook_name"] = "blocks." + m[2] + "." + map[string]string{"resid_post": "hook_resid_post", "mlp_out": "hook_mlp_out", "attention_out": "hook_attn_out"}[m[1]]
	}
	return meta
}

// writeDictionaryLearning writes a folder that dictionary_learning's load_dictionary reads. A jumprelu whose thresholds
// are equal and that was a BatchTopK in this format is one again.
func writeDictionaryLearning(s *SAE, dir string) ([]string, error) {
	before, _ := s.Metadata[dictionaryKey].(map[string]any)
	class, err := s.dictionaryClass(before)
	if err != nil {
		return nil, err
	}
	c, notes, err := s.adapted(class != classNew && class != classJumpReLU)
	if err != nil {
		return nil, err
	}
	tensors, err := c.dictionaryTensors(class, before)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := torchzip.Write(filepath.Join(dir, dictionaryWeights), "ae", tensors); err != nil {
		return nil, err
	}
	return notes, writeJSON(filepath.Join(dir, dictionaryConfig), s.dictionaryConfig(class, before))
}

// dictionaryClass chooses the class for the SAE.
func (s *SAE) dictionaryClass(before map[string]any) (string, error) {
	trainer, _ := before["trainer"].(map[string]any)
	switch s.Arch {
	case ArchStandard:
		if s.ApplyBDecToInput {
			return classStandard, nil
		}
		return classNew, nil
	case ArchGated:
		return classGated, nil
	case ArchTopK:
		return classTopK, nil
	case ArchJumpReLU:
		was, _ := trainer["dict_class"].(string)
		same := !slices.ContainsFunc(s.Threshold, func(v float32) bool { return v != s.Threshold[0] })
		if _, ok := before["k"].(float64); ok && same && s.ApplyBDecToInput && (was == classBatchTopK || was == classMatryoshka) {
			return was, nil
		}
		return classJumpReLU, nil
	}
	return "", fmt.Errorf("dictionary_learning has no architecture %q; it has standard, gated, topk and jumprelu", s.Arch)
}

// dictionaryTensors returns the state_dict in the tool's order.
func (s *SAE) dictionaryTensors(class string, before map[string]any) ([]safetensors.Tensor, error) {
	d, f := []int{s.DIn}, []int{s.DSAE}
	encoder := safetensors.F32("encoder.weight", []int{s.DSAE, s.DIn}, turned(s.WEnc, s.DIn, s.DSAE))
	decoder := safetensors.F32("decoder.weight", []int{s.DIn, s.DSAE}, turned(s.WDec, s.DSAE, s.DIn))
	direct := []safetensors.Tensor{
		safetensors.F32("W_enc", []int{s.DIn, s.DSAE}, s.WEnc), safetensors.F32("b_enc", f, s.BEnc),
		safetensors.F32("W_dec", []int{s.DSAE, s.DIn}, s.WDec), safetensors.F32("b_dec", d, s.BDec),
	}
	scalars := func(k int, threshold float32) []safetensors.Tensor {
		return []safetensors.Tensor{safetensors.I32("k", nil, []int32{int32(k)}), safetensors.F32("threshold", nil, []float32{threshold})}
	}
	number := func(key string, otherwise float64) float64 {
		if v, ok := before[key].(float64); ok {
			return v
		}
		return otherwise
	}
	switch class {
	case classStandard:
		return []safetensors.Tensor{safetensors.F32("bias", d, s.BDec), encoder, safetensors.F32("encoder.bias", f, s.BEnc), decoder}, nil
	case classNew:
		return []safetensors.Tensor{encoder, safetensors.F32("encoder.bias", f, s.BEnc), decoder, safetensors.F32("decoder.bias", d, s.BDec)}, nil
	case classGated:
		return []safetensors.Tensor{
			safetensors.F32("decoder_bias", d, s.BDec), safetensors.F32("r_mag", f, s.RMag), safetensors.F32("gate_bias", f, s.BGate),
			safetensors.F32("mag_bias", f, s.BMag), encoder, decoder,
		}, nil
	case classTopK, classBatchTopK:
		k, threshold := s.K, float32(number("threshold", -1))
		if class == classBatchTopK {
			k, threshold = int(number("k", 0)), s.Threshold[0]
		}
		out := append([]safetensors.Tensor{safetensors.F32("b_dec", d, s.BDec)}, scalars(k, threshold)...)
		return append(out, decoder, encoder, safetensors.F32("encoder.bias", f, s.BEnc)), nil
	case classMatryoshka:
		list, _ := before["group_sizes"].([]any)
		var sizes []int64
		for _, v := range list {
			n, _ := v.(float64)
			sizes = append(sizes, int64(n))
		}
		if len(sizes) == 0 {
			return nil, errors.New("the metadata lacks group_sizes")
		}
		out := append(direct, scalars(int(number("k", 0)), s.Threshold[0])...)
		return append(out, safetensors.I64("group_sizes", []int{len(sizes)}, sizes)), nil
	}
	return append(direct, safetensors.F32("threshold", f, s.Threshold)), nil
}

// dictionaryConfig returns config.json: what was read, if it was, with the class and sizes of the SAE.
func (s *SAE) dictionaryConfig(class string, before map[string]any) map[string]any {
	trainer := map[string]any{
		"trainer_class": map[string]string{
			classStandard: "StandardTrainer", classNew: "StandardTrainerAprilUpdate", classGated: "GatedSAETrainer", classTopK: "TopKTrainer",
			classBatchTopK: "BatchTopKTrainer", classMatryoshka: "MatryoshkaBatchTopKTrainer", classJumpReLU: "JumpReluTrainer",
		}[class],
		"device": "cpu", "wandb_name": class,
	}
	buffer := map[string]any{"d_submodule": s.DIn, "io": "out", "device": "cpu"}
	if name, ok := s.Metadata["model_name"].(string); ok {
		trainer["lm_name"] = name
	}
	if hook, ok := s.Metadata["hook_name"].(string); ok {
		if m := regexp.MustCompile(`^blocks\.(\d+)\.`).FindStringSubmatch(hook); m != nil {
			var layer int
			if _, err := fmt.Sscan(m[1], &layer); err == nil {
				trainer["layer"], trainer["submodule_name"] = layer, hook
			}
		}
	}
	if n := s.Metadata["context_size"]; n != nil {
		buffer["ctx_len"] = n
	}
	if old, ok := before["trainer"].(map[string]any); ok && old["dict_class"] == class {
		maps.Copy(trainer, old)
	}
	if old, ok := before["buffer"].(map[string]any); ok {
		buffer = old
	}
	trainer["dict_class"], trainer["activation_dim"], trainer["dict_size"] = class, s.DIn, s.DSAE
	delete(trainer, "k")
	switch class {
	case classTopK:
		trainer["k"] = s.K
	case classBatchTopK, classMatryoshka:
		trainer["k"] = before["k"]
	}
	return map[string]any{"trainer": trainer, "buffer": buffer}
}
