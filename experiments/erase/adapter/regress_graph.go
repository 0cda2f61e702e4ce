package adapter

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"loupe/probe/model"
)

// regress is sum_b weight_b mean_t |h_bt - target_bt|² over the final states of real tokens. Inputs: "target" [b,t,d], "weight" [b].
func regress(batch, seq, d int) *model.Objective {
	return &model.Objective{
		Name:   "adapter_regress",
		Inputs: []model.Input{{Name: "target", DType: dtypes.Float32, Dims: []int{batch, seq, d}}, {Name: "weight", DType: dtypes.Float32, Dims: []int{batch}}},
		Graph: func(o model.ObjectiveInputs) *Node {
			h := o.Site(model.Site{Kind: model.LastHidden})
			valid := ConvertDType(o.Mask, h.DType())                              // [b,t]
			squared := ReduceSum(Square(Sub(h, o.Input("target"))), -1)           // [b,t]
			mean := Div(ReduceSum(Mul(squared, valid), -1), ReduceSum(valid, -1)) // [b]
			return ReduceAllSum(Mul(mean, o.Input("weight")))
		},
	}
}
