package train

import (
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Rows are texts as tokens, padded to one length: [b,t], row-major.
type Rows struct {
	B, T int
	IDs  []int32
	Mask []int32 // 1 for tokens, 0 for padding; nil: all are tokens
}

func (r Rows) check() error {
	if r.B < 1 || r.T < 1 || len(r.IDs) != r.B*r.T || r.Mask != nil && len(r.Mask) != len(r.IDs) {
		return fmt.Errorf("train: %d ids and %d masks for %d rows of %d", len(r.IDs), len(r.Mask), r.B, r.T)
	}
	return nil
}

func (r Rows) real(i int) bool { return r.Mask == nil || r.Mask[i] != 0 }

// NextTokenInputs are the inputs of NextToken for rows: each token but a row's first is to be predicted, with equal weights
// that add up to one.
func NextTokenInputs(r Rows) (model.Inputs, error) {
	return crossEntropy(r, func(i int) (int32, bool) {
		if i%r.T == r.T-1 || !r.real(i) || !r.real(i+1) {
			return 0, false
		}
		return r.IDs[i+1], true
	}, r.IDs)
}

// Masking says which tokens an encoder has to guess: of a share of them most are shown as the mask token, some as another token,
// and some as they are (arXiv:1810.04805: shares .15, and .8, .1 and .1 of it).
type Masking struct {
	Share float64  // of the tokens
	Mask  int32    // the mask token
	Words [2]int32 // tokens that another may be drawn from: from, to
}

// MaskedTokenInputs are the inputs of MaskedToken for rows, masked by r. Of rows where chance takes none, one token is guessed.
func MaskedTokenInputs(rows Rows, how Masking, r *rand.Rand) (model.Inputs, error) {
	if !(how.Share > 0 && how.Share <= 1) || how.Words[1] <= how.Words[0] {
		return model.Inputs{}, fmt.Errorf("train: masking of a share %v with words %v; give a share up to 1 and a range of words", how.Share, how.Words)
	}
	if err := rows.check(); err != nil {
		return model.Inputs{}, err
	}
	shown, chosen := append([]int32(nil), rows.IDs...), make([]bool, len(rows.IDs))
	word := func(i int) bool { return rows.real(i) && rows.IDs[i] >= how.Words[0] && rows.IDs[i] < how.Words[1] }
	for b := range rows.B {
		some, last := false, -1
		for i := b * rows.T; i < (b+1)*rows.T; i++ {
			if !word(i) {
				continue
			}
			last = i
			if r.Float64() < how.Share {
				chosen[i], some = true, true
			}
		}
		if !some && last >= 0 {
			chosen[last] = true
		}
	}
	for i, c := range chosen {
		if !c {
			continue
		}
		switch u := r.Float64(); {
		case u < 0.8:
			shown[i] = how.Mask
		case u < 0.9:
			shown[i] = how.Words[0] + r.Int32N(how.Words[1]-how.Words[0])
		}
	}
	return crossEntropy(rows, func(i int) (int32, bool) { return rows.IDs[i], chosen[i] }, shown)
}

// crossEntropy makes inputs with labels and equal weights at the positions that label chooses.
func crossEntropy(r Rows, label func(i int) (int32, bool), shown []int32) (model.Inputs, error) {
	if err := r.check(); err != nil {
		return model.Inputs{}, err
	}
	labels, weights, n := make([]int32, len(r.IDs)), make([]float32, len(r.IDs)), 0
	for i := range labels {
		if id, ok := label(i); ok {
			labels[i], weights[i] = id, 1
			n++
		}
	}
	if n == 0 {
		return model.Inputs{}, fmt.Errorf("train: no token of %d rows is to be predicted", r.B)
	}
	for i := range weights {
		weights[i] /= float32(n)
	}
	return model.Inputs{IDs: shown, Mask: r.Mask, Objective: map[string]*tensors.Tensor{
		inputLabels: tensors.FromFlatDataAndDimensions(labels, r.B, r.T), inputWeights: tensors.FromFlatDataAndDimensions(weights, r.B, r.T),
	}}, nil
}
