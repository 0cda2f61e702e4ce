package model

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// TestInputErrors gives programs what they cannot take.
func TestInputErrors(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	gpt2, bert := tiny(t, engine, "gpt2"), tiny(t, engine, "bert")
	const b, seq = 2, 4
	plan := Plan{Batch: b, Seq: seq, Captures: []Capture{{Site: Site{LastHidden, 0}}}}
	ids := someIDs(5, b*seq, 200)
	replaced := func(at int, value int32) []int32 { x := slices.Clone(ids); x[at] = value; return x }
	for _, test := range []struct {
		name string
		m    *Model
		in   Inputs
		want []string
	}{
		{"token id beyond the vocabulary", gpt2, Inputs{IDs: replaced(6, 211)}, []string{"token id 211", "row 1, position 2", "vocabulary of 211", "tokenizer"}},
		{"negative token id", gpt2, Inputs{IDs: replaced(0, -1)}, []string{"token id -1", "row 0, position 0"}},
		{"too few ids", gpt2, Inputs{IDs: ids[:5]}, []string{"5 token ids", "needs 8"}},
		{"mask of another length", gpt2, Inputs{IDs: ids, Mask: make([]int32, 3)}, []string{"3 mask", "needs 8"}},
		{"position beyond the table", gpt2, Inputs{IDs: ids, Positions: []int32{0, 1, 2, 3, 0, 1, 2, 99}}, []string{"row 1", "position 99", "32 positions"}},
		{"token type", bert, Inputs{IDs: ids, Types: slices.Repeat([]int32{7}, b*seq)}, []string{"token type 7"}},
		{"pooled position", bert, Inputs{IDs: ids, Pool: []int32{0, 4}}, []string{"pooled position 4", "sequence of 4"}},
		{"an edit that the plan lacks", gpt2, Inputs{IDs: ids, Edits: []map[string]*tensors.Tensor{{}}}, []string{"1 edits", "plan of 0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := engine.mustCompile(t, test.m.Spec, plan).Run(t.Context(), test.m.Params, test.in)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
		})
	}
	if _, err := engine.mustCompile(t, gpt2.Spec, plan).Run(t.Context(), bert.Params, Inputs{IDs: ids}); err == nil || !strings.Contains(err.Error(), "bert") {
		t.Errorf("another model's weights: %v", err)
	}
	for _, test := range []struct {
		name string
		plan Plan
		want []string
	}{
		{"more positions than the model has", Plan{Batch: 1, Seq: 33}, []string{"33 positions", "gpt2", "32", "truncate or split"}},
		{"a layer that does not exist", Plan{Batch: 1, Seq: 4, Captures: []Capture{{Site: Site{ResidPost, 3}}}}, []string{"blocks.3.hook_resid_post", "0..2"}},
		{"a site that the family lacks", Plan{Batch: 1, Seq: 4, Captures: []Capture{{Site: Site{RotQ, 0}}}}, []string{"hook_rot_q", "does not exist in a gpt2", "loupe model info"}},
		{"no rows", Plan{Seq: 4}, []string{"batch 0"}},
	} {
		if _, err := engine.Compile(gpt2.Spec, test.plan); err == nil {
			t.Errorf("%s: accepted", test.name)
		} else {
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: the error %q does not say %q", test.name, err, want)
				}
			}
		}
	}
	if _, err := engine.Compile(bert.Spec, Plan{Batch: 1, Seq: 4, Logits: LogitsAll}); err == nil || !strings.Contains(err.Error(), "encoder has no next-token logits") {
		t.Errorf("logits of an encoder: %v", err)
	}
}
