package circuits

import (
	"strings"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"loupe/probe/model"
)

// sitesDot is the objective sum over sites of sum(weights * value), with a run-time tensor of weights for each site, by its name.
func sitesDot(s *model.Spec, sites []model.Site, batch, seq int) *model.Objective {
	o := &model.Objective{}
	var names []string
	for _, site := range sites {
		names = append(names, site.String())
		o.Inputs = append(o.Inputs, model.Input{Name: site.String(), DType: dtypes.Float32, Dims: s.Dims(site.Kind, batch, seq)})
	}
	o.Name = "dots:" + strings.Join(names, ",")
	o.Graph = func(in model.ObjectiveInputs) *Node {
		var sum *Node
		for _, site := range sites {
			x := ReduceAllSum(Mul(in.Site(site), in.Input(site.String())))
			if sum == nil {
				sum = x
			} else {
				sum = Add(sum, x)
			}
		}
		return sum
	}
	return o
}
