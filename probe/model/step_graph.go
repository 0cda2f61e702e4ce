package model

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// stepGraph decodes one position: nodes are the parameters, each layer's cached keys and values, then inputs. It
// returns the logits [b,1,v] and each layer's new key and value [b,k,e].
func stepGraph(s *Spec, plan *Plan, rows int, inputs []Input, nodes []*Node) []*Node {
	f := &forward{
		g: nodes[0].Graph(), spec: s, plan: plan, params: map[string]*Node{}, taps: map[Site]*Node{}, wanted: map[Site]bool{},
		biases: map[int]*Node{}, cache: &cacheNodes{},
	}
	params := s.Params()
	for i, p := range params {
		f.params[p.Name] = nodes[i]
	}
	rest := nodes[len(params):]
	for i := range s.Layers {
		f.cache.keys, f.cache.values = append(f.cache.keys, rest[2*i]), append(f.cache.values, rest[2*i+1])
	}
	rest = rest[2*s.Layers:]
	in := map[string]*Node{}
	for i, input := range inputs {
		in[input.Name] = rest[i]
	}
	in["mask"] = OnesLike(in["ids"])
	f.bind(in)
	f.cache.valid = GreaterThan(in["valid"], ScalarZero(f.g, dtypes.Int32))
	f.cache.now = in["now"]
	f.cache.valid.AssertDims(plan.Batch, rows)
	logits := f.finish(f.runLayers())
	if len(f.cache.newK) != s.Layers {
		panic(fmt.Errorf("model: %d of %d layers cached", len(f.cache.newK), s.Layers))
	}
	out := []*Node{logits}
	for i := range s.Layers {
		out = append(out, f.cache.newK[i], f.cache.newV[i])
	}
	return out
}
