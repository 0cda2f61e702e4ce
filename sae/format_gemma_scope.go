package sae

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"loupe/internal/npy"
)

const (
	gemmaScopeWeights  = "params.npz"
	maxGemmaScopeBytes = 64 << 30
)

// readGemmaScope reads params.npz of Gemma Scope (arXiv:2408.05147): W_enc [d, F], W_dec [F, d], b_enc, b_dec and one
// threshold for each latent, a JumpReLU that does not subtract b_dec from the input. Nothing in the file says what it
// belongs to; the folders above it do: layer_N for the layer, "transcoders" for a transcoder of the MLP, "embedding" for
// an SAE of embeddings, which was trained on embeddings times sqrt(d), and the repository's name for model and site.
func readGemmaScope(path string) (*SAE, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, gemmaScopeWeights)
	}
	fail := func(err error) (*SAE, error) { return nil, fmt.Errorf("sae: read %s: %w", path, err) }
	arrays, err := npy.ReadArchive(path, maxGemmaScopeBytes)
	if err != nil {
		return fail(err)
	}
	where, err := filepath.Abs(path)
	if err != nil {
		return fail(err)
	}
	s, err := fromGemmaScope(foreignArchive(arrays), filepath.ToSlash(where))
	if err != nil {
		return fail(err)
	}
	return s, s.Validate()
}

// fromGemmaScope makes an SAE of the arrays of a file at path where.
func fromGemmaScope(t *foreign, where string) (*SAE, error) {
	s := &SAE{Arch: ArchJumpReLU, Normalize: NormalizeNone, Metadata: map[string]any{}}
	var err error
	if s.DIn, s.DSAE, err = t.matrix("W_enc"); err != nil {
		return nil, err
	}
	if strings.Contains(where, "transcoder") {
		s.Arch = ArchJumpReLUTranscoder
		if _, s.DOut, err = t.matrix("W_dec"); err != nil {
			return nil, err
		}
	}
	if err := checkSizes(s); err != nil {
		return nil, err
	}
	f := []int{s.DSAE}
	err = t.load(
		place{&s.WEnc, "W_enc", []int{s.DIn, s.DSAE}, false}, place{&s.WDec, "W_dec", []int{s.DSAE, s.Width()}, false},
		place{&s.BEnc, "b_enc", f, false}, place{&s.BDec, "b_dec", []int{s.Width()}, false}, place{&s.Threshold, "threshold", f, false},
	)
	if err == nil {
		if err = t.rest(); err != nil {
			err = errors.Join(err, errors.New("only the five arrays of Gemma Scope are read"))
		}
	}
	if err != nil {
		return nil, err
	}
	s.gemmaScopePlace(where)
	return s, nil
}

// gemmaScopePlace names model and site by the path and undoes the scaling of embeddings.
func (s *SAE) gemmaScopePlace(where string) {
	s.Metadata["prepend_bos"] = true
	if m := regexp.MustCompile(`gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)`).FindStringSubmatch(where); m != nil {
		s.Metadata["model_name"] = "gemma-2-" + m[1] + map[string]string{"pt": "", "it": "-it"}[m[2]]
		if layer := regexp.MustCompile(`/layer_(\d+)/`).FindStringSubmatch(where); layer != nil {
			block := "blocks." + layer[1] + "."
			s.Metadata["hook_name"] = block + map[string]string{
				"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z", "transcoders": "ln2.hook_normalized",
			}[m[3]]
			if m[3] == "transcoders" {
				s.Metadata["hook_name_out"] = block + "hook_mlp_out"
			}
			s.HookZ = m[3] == "att"
		}
	}
	if !strings.Contains(where, "/embedding/") {
		return
	}
	s.Metadata["hook_name"] = "hook_embed"
	root := float32(math.Sqrt(float64(s.DIn)))
	for i := range s.WEnc {
		s.WEnc[i] /= root
	}
	for i := range s.WDec {
		s.WDec[i] *= root
	}
}
