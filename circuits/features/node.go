package features

import (
	"slices"

	"loupe/circuits"
	"loupe/probe/model"
)

// member is a feature or an error as a sender and receiver beside heads, MLPs and concept vectors.
type member struct {
	node Node
	d    *Dictionary
	code *siteCode
	seq  int
}

// Component makes a node a component for circuits.AttributeComponents. As a receiver a feature is its coefficient where it is on in the clean run, and the error is
// what the features that are on leave of the site.
func (c *Code) Component(n Node) (circuits.Component, error) {
	if _, err := c.members([]Node{n}, ErrorsAsNodes); err != nil {
		return nil, err
	}
	k := slices.Index(c.Sites(), n.Site)
	return &member{n, c.Dictionaries[k], &c.sites[k], c.Task.Pairs.Seq}, nil
}

func (m *member) Name() string     { return m.node.Name() }
func (m *member) Site() model.Site { return m.node.Site }

func (m *member) Value(g []float64) []float64 {
	return m.products(g, func(pair [2]float32) float64 { return float64(pair[0]) })
}

func (m *member) Change(g []float64) []float64 {
	return m.products(g, func(pair [2]float32) float64 { return float64(pair[1]) - float64(pair[0]) })
}

// here tells whether the node lives at a place.
func (m *member) here(place int) bool {
	return m.node.Position == AllPositions || m.node.Position == place%m.seq
}

// products are those of g with what coefficients of (clean, corrupted) pairs write.
func (m *member) products(g []float64, of func(pair [2]float32) float64) []float64 {
	out := make([]float64, len(m.code.active))
	for p, a := range m.code.active {
		if !m.here(p) {
			continue
		}
		at := g[p*m.d.D : (p+1)*m.d.D]
		if m.node.Feature == ErrorFeature {
			for j, v := range at {
				out[p] += v * of([2]float32{m.code.errors[0][p*m.d.D+j], m.code.errors[1][p*m.d.D+j]})
			}
		} else if j, ok := slices.BinarySearch(a.index, int32(m.node.Feature)); ok {
			out[p] = of([2]float32{a.value[0][j], a.value[1][j]}) * dot(m.d.write(a.index[j]), at)
		}
	}
	return out
}

// Receive is for a feature (dm/df) df/dx, and for the error de/dx^T dm/dx with e = x - sum_i f_i(x) w_i.
func (m *member) Receive(g []float64) []float32 {
	out := make([]float32, len(g))
	for p, a := range m.code.active {
		if !m.here(p) {
			continue
		}
		from, to := g[p*m.d.D:(p+1)*m.d.D], out[p*m.d.D:(p+1)*m.d.D]
		if m.node.Feature == ErrorFeature {
			for j, v := range from {
				to[j] = float32(v)
			}
		}
		for j, i := range a.index {
			if a.value[0][j] == 0 { // off on the clean input, so it has no gradient
				continue
			}
			switch m.node.Feature {
			case ErrorFeature:
				axpy(-float32(dot(m.d.write(i), from)), m.d.read(i), to)
			case int(i):
				axpy(float32(dot(m.d.write(i), from)), m.d.read(i), to)
			}
		}
	}
	return out
}
