package vectors

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// TokenMask says which tokens interventions touch while text is generated. The zero value is all of them.
type TokenMask struct {
	Skip     int     // so many first tokens of each prompt are left alone (BOS, the start of a chat's turn)
	Last     int     // only so many last tokens of each prompt are touched; 0: no limit
	Only     []int32 // only these tokens of a prompt are touched; nil: no limit
	NoPrompt bool    // prompts are left alone
	NoOutput bool    // tokens that were generated are left alone
}

// Validate names the field that is out of range.
func (m TokenMask) Validate() error {
	if m.Skip < 0 || m.Last < 0 {
		return fmt.Errorf("vectors: token mask: skip is %d and last %d: %w; neither is negative", m.Skip, m.Last, ErrArgument)
	}
	if m.NoPrompt && m.NoOutput {
		return fmt.Errorf("vectors: token mask: neither prompt nor output: %w; nothing would be steered", ErrArgument)
	}
	return nil
}

// Prompt are the weights, 1 or 0, of a prompt's tokens.
func (m TokenMask) Prompt(ids []int32) []float32 {
	out := make([]float32, len(ids))
	for i, id := range ids {
		if !m.NoPrompt && i >= m.Skip && (m.Last == 0 || i >= len(ids)-m.Last) && (m.Only == nil || slices.Contains(m.Only, id)) {
			out[i] = 1
		}
	}
	return out
}

// Steer puts interventions into the options of a generation from prompts. rows are weights of whole rows, nil for 1: 0 for the
// prompts on which a Condition does not hold.
func Steer(spec *model.Spec, list []Placed, prompts [][]int32, mask TokenMask, rows []float32, opt *model.GenerateOptions) error {
	if err := mask.Validate(); err != nil {
		return err
	}
	if rows != nil && len(rows) != len(prompts) {
		return fmt.Errorf("vectors: steer: %d weights of rows for %d prompts: %w", len(rows), len(prompts), ErrShape)
	}
	classes, _, err := Edits(spec, list, 1, 1, nil)
	if err != nil {
		return fmt.Errorf("vectors: steer: %w", err)
	}
	opt.Edits = classes
	opt.Values = func(batch, seq, from int) ([]map[string]*tensors.Tensor, error) {
		weight := make([]float32, batch*seq)
		for r, ids := range prompts {
			row := weight[r*seq : (r+1)*seq]
			if from == 0 { // the prompts, padded on the left
				copy(row[seq-len(ids):], mask.Prompt(ids))
			} else if !mask.NoOutput {
				row[0] = 1
			}
			if rows != nil {
				for i := range row {
					row[i] *= rows[r]
				}
			}
		}
		_, values, err := Edits(spec, list, batch, seq, weight)
		return values, err
	}
	return nil
}
