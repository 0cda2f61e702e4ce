package method

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"loupe/probe/model"
)

// alignment is the objective sum_b w_b cos(sum_t p_bt h_bt, v_b) of the final states h [b,t,d]: inputs "pool" p [b,t], "example"
// v [b,d], unit rows, and "weight" w [b].
func alignment(batch, seq, d int) *model.Objective {
	input := func(name string, dims ...int) model.Input {
		return model.Input{Name: name, DType: dtypes.Float32, Dims: dims}
	}
	return &model.Objective{
		Name:   "alignment",
		Inputs: []model.Input{input("pool", batch, seq), input("example", batch, d), input("weight", batch)},
		Graph: func(o model.ObjectiveInputs) *Node {
			h := o.Site(model.Site{Kind: model.LastHidden})         // [b,t,d]
			x := Einsum("bt,btd->bd", o.Input("pool"), h)           // [b,d]
			norm := Sqrt(AddScalar(ReduceSum(Mul(x, x), 1), 1e-12)) // [b]
			cos := Div(ReduceSum(Mul(x, o.Input("example")), 1), norm)
			return ReduceAllSum(Mul(cos, o.Input("weight")))
		},
	}
}
