package model

import (
	"errors"
	"fmt"
	"maps"

	"github.com/gomlx/gomlx/core/tensors"
)

// Inputs are the run-time values of a program for one batch; row-major slices of length b*t unless said otherwise.
type Inputs struct {
	IDs  []int32
	Mask []int32 // 1 for real tokens, 0 for padding; nil: all real
	// Positions are derived from Mask (or, in RoBERTa-likes, from IDs) when nil.
	Positions []int32
	Types     []int32 // token types; nil: all 0
	Pool      []int32 // [b] pooled positions; derived from IDs and Mask when nil
	Gather    []int32 // [b*p] positions for LogitsAt and Gathered
	// Input is the [b,t,d] start of plans from embeddings or from a layer.
	Input *tensors.Tensor
	// Edits holds the run-time tensors of each edit of the plan; missing tensors are zeros.
	Edits []map[string]*tensors.Tensor
	// Edges holds the run-time tensors of an edge mask. Without a mask the pass is the plain one.
	Edges map[string]*tensors.Tensor
	// Objective holds the inputs of the plan's objective.
	Objective map[string]*tensors.Tensor
}

// prepare checks the inputs against the plan and turns them into tensors by name.
func (in *Inputs) prepare(s *Spec, p *Plan) (map[string]*tensors.Tensor, error) {
	b, t := p.Batch, p.Seq
	out := map[string]*tensors.Tensor{}
	from, _ := p.layers(s)
	mask := in.Mask
	if mask == nil {
		mask = make([]int32, b*t)
		for i := range mask {
			mask[i] = 1
		}
	}
	if err := checkLen("mask", len(mask), b*t); err != nil {
		return nil, err
	}
	if p.Embeds || from > 0 {
		if in.Input == nil {
			return nil, errors.New("model: this plan starts from Input, which is missing")
		}
		out["input"] = in.Input
	} else {
		if err := in.checkIDs(s, b, t); err != nil {
			return nil, err
		}
		out["ids"] = tensors.FromFlatDataAndDimensions(in.IDs, b, t)
	}
	positions := in.Positions
	if positions == nil {
		positions = s.positions(in.IDs, mask, b, t)
	}
	if err := checkLen("positions", len(positions), b*t); err != nil {
		return nil, err
	}
	if s.Positions == PosLearned {
		for i, pos := range positions {
			if pos < 0 || int(pos) >= s.PosRows {
				return nil, fmt.Errorf("model: row %d has position %d; the %s model knows %d positions; truncate or split the text", i/t, pos, s.Family, s.PosRows)
			}
		}
	}
	out["mask"] = tensors.FromFlatDataAndDimensions(mask, b, t)
	out["positions"] = tensors.FromFlatDataAndDimensions(positions, b, t)
	if s.TypeVocab > 0 && from == 0 {
		types := in.Types
		if types == nil {
			types = make([]int32, b*t)
		}
		if err := checkLen("token types", len(types), b*t); err != nil {
			return nil, err
		}
		for _, v := range types {
			if v < 0 || int(v) >= s.TypeVocab {
				return nil, fmt.Errorf("model: token type %d is outside 0..%d", v, s.TypeVocab-1)
			}
		}
		out["types"] = tensors.FromFlatDataAndDimensions(types, b, t)
	}
	if s.Pooler != PoolerNone || s.Sentence.Mode == "cls" {
		pool := in.Pool
		if pool == nil {
			pool = s.poolPositions(in.IDs, mask, b, t)
		}
		if err := checkPositions("pooled", pool, b, t); err != nil {
			return nil, err
		}
		out["pool"] = tensors.FromFlatDataAndDimensions(pool, b)
	}
	if p.Gather > 0 {
		if err := checkPositions("gathered", in.Gather, b*p.Gather, t); err != nil {
			return nil, err
		}
		out[gatherInput] = tensors.FromFlatDataAndDimensions(in.Gather, b, p.Gather)
	}
	if len(in.Edits) > len(p.Edits) {
		return nil, fmt.Errorf("model: %d edits for a plan of %d", len(in.Edits), len(p.Edits))
	}
	for i, edit := range in.Edits {
		for name, value := range edit {
			out[fmt.Sprintf("edit.%d.%s", i, name)] = value
		}
	}
	for name, value := range in.Edges {
		out["edges."+name] = value
	}
	if p.Edges != nil && p.From > 0 && in.Edges["mask"] != nil && in.Edges["before"] == nil {
		return nil, errors.New("model: an edge mask from a later block needs what the senders before it wrote, \"before\"")
	}
	if in.Edges["mask"] != nil && in.Edges["corrupted"] == nil {
		return nil, errors.New("model: an edge mask without \"corrupted\", the values that cut senders take")
	}
	for name := range maps.Keys(in.Objective) {
		out["objective."+name] = in.Objective[name]
	}
	return out, nil
}

// checkIDs refuses token ids that the embedding table does not have.
func (in *Inputs) checkIDs(s *Spec, b, t int) error {
	if err := checkLen("token ids", len(in.IDs), b*t); err != nil {
		return err
	}
	for i, id := range in.IDs {
		if id < 0 || int(id) >= s.Vocab {
			return fmt.Errorf("model: token id %d at row %d, position %d is outside the %s model's vocabulary of %d; use the model's own tokenizer", id, i/t, i%t, s.Family, s.Vocab)
		}
	}
	return nil
}

func checkLen(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("model: %d %s for a batch that needs %d", got, what, want)
	}
	return nil
}

func checkPositions(what string, at []int32, n, t int) error {
	if err := checkLen(what+" positions", len(at), n); err != nil {
		return err
	}
	for _, p := range at {
		if p < 0 || int(p) >= t {
			return fmt.Errorf("model: %s position %d is outside the sequence of %d", what, p, t)
		}
	}
	return nil
}

// positions derives position ids: the count of real tokens before each one, so that padding on either side gives the
// numbers of no padding. RoBERTa-likes count ids that are not the pad id and add the pad id.
func (s *Spec) positions(ids, mask []int32, b, t int) []int32 {
	out := make([]int32, b*t)
	for r := range b {
		count := int32(0)
		for c := range t {
			i := r*t + c
			real := mask[i] != 0
			if s.PosFromID && ids != nil {
				real = int(ids[i]) != s.PadID
			}
			switch {
			case s.PosFromID && real:
				count++
				out[i] = count + int32(s.PosOffset)
			case s.PosFromID:
				out[i] = int32(s.PosOffset)
			default:
				if real {
					count++
				}
				out[i] = max(count-1, 0)
			}
		}
	}
	return out
}

// poolPositions finds the pooled position of each row: the first real token, or for CLIP the end-of-text token.
func (s *Spec) poolPositions(ids, mask []int32, b, t int) []int32 {
	out := make([]int32, b)
	for r := range b {
		row := func(c int) (id int32, real bool) {
			if ids != nil {
				id = ids[r*t+c]
			}
			return id, mask[r*t+c] != 0
		}
		found := false
		var largest int32 = -1
		for c := range t {
			id, real := row(c)
			switch {
			case s.Pooler != PoolerEOS:
				if real && !found {
					out[r], found = int32(c), true
				}
			case s.PoolLargestID:
				if id > largest {
					largest, out[r] = id, int32(c)
				}
			case int(id) == s.EOS && !found && (real || ids == nil):
				out[r], found = int32(c), true
			}
		}
	}
	return out
}
