package capture

import (
	"fmt"
	"strings"

	"loupe/probe/model"
)

// flops counts the multiplications and additions of the matrix products of one forward pass over b rows of t tokens
// through the first layers blocks: 2 for every weight and token, and 4 b t^2 heads d_head a layer for attention.
func flops(spec *model.Spec, layers, b, t int) float64 {
	weights := 0.0
	for _, p := range spec.Params() {
		rest, ok := strings.CutPrefix(p.Name, "blocks.")
		if !ok || len(p.Dims) < 2 {
			continue
		}
		var layer int
		if _, err := fmt.Sscanf(rest, "%d.", &layer); err == nil && layer < layers {
			weights += float64(p.Dims[0]) * float64(p.Dims[1])
		}
	}
	n := float64(b) * float64(t)
	return 2*weights*n + 4*n*float64(t)*float64(spec.Heads*spec.DHead*layers)
}
