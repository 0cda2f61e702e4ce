package circuits

import "loupe/probe/model"

// Component is a part of a model that sends and receives: a head, an MLP, a neuron, a latent of a dictionary, its error, a concept vector, an
// embedding. It is a share of a site's value with the direction that its coefficient writes, or a slice of the site that is its own
// coefficient (a head's output at hook_z), on the task's clean and corrupted inputs. A place is a row and a position.
type Component interface {
	Name() string
	Site() model.Site
	// Value and Change are the products [rows*seq] of a vector at the site, [rows,seq,..] like its value, with what the node writes on the
	// clean input, and with what it writes on the corrupted input less that.
	Value(g []float64) []float64
	Change(g []float64) []float64
	// Receive returns the linear function of the site's value whose gradient is pulled back when the node is a receiver: for g the loss's
	// gradient at the site, the part of it that goes through the node.
	Receive(g []float64) []float32
}

// part is the Component of a slice of a site, or of a direction within it.
type part struct {
	name   string
	site   model.Site
	width  int // of the site at a place
	lo, hi int // the node's slice
	// write is what the coefficient writes into the slice and read the coefficient's gradient; nil: the slice is its own coefficient.
	write, read      []float32
	clean, corrupted []float32 // coefficients [places], or the site's whole values
}

func (p *part) Name() string     { return p.name }
func (p *part) Site() model.Site { return p.site }

func (p *part) Value(g []float64) []float64 {
	return p.products(g, func(i int) float64 { return float64(p.clean[i]) })
}

func (p *part) Change(g []float64) []float64 {
	return p.products(g, func(i int) float64 { return float64(p.corrupted[i]) - float64(p.clean[i]) })
}

// products are those of g with what coefficients write.
func (p *part) products(g []float64, coefficient func(i int) float64) []float64 {
	out := make([]float64, len(g)/p.width)
	for at := range out {
		here := g[at*p.width+p.lo : at*p.width+p.hi]
		if p.write == nil {
			for j, v := range here {
				out[at] += v * coefficient(at*p.width+p.lo+j)
			}
			continue
		}
		out[at] = coefficient(at) * along(here, p.write)
	}
	return out
}

func (p *part) Receive(g []float64) []float32 {
	out := make([]float32, len(g))
	for lo := 0; lo < len(g); lo += p.width {
		here, to := g[lo+p.lo:lo+p.hi], out[lo+p.lo:lo+p.hi]
		if p.write == nil {
			for j, v := range here {
				to[j] = float32(v)
			}
			continue
		}
		slope := along(here, p.write)
		for j, v := range p.read {
			to[j] = float32(slope * float64(v))
		}
	}
	return out
}

func along(g []float64, w []float32) float64 {
	var sum float64
	for j, v := range g {
		sum += v * float64(w[j])
	}
	return sum
}

// reading is a receiver whose coefficient itself is the target, whatever becomes of it.
type reading struct {
	part
	weight []float32 // of each place
}

func (r *reading) Receive([]float64) []float32 {
	out := make([]float32, len(r.weight)*r.width)
	for at, w := range r.weight {
		for j, v := range r.read {
			out[at*r.width+r.lo+j] = w * v
		}
	}
	return out
}
