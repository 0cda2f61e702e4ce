package circuits

import (
	"context"
	"fmt"
	"slices"

	"loupe/probe/model"
)

// Activations are the values of sites on a task's two inputs, from which nodes are made.
type Activations struct {
	Task             *Task
	Clean, Corrupted SiteValues
}

// Activations runs both inputs.
func (t *Task) Activations(ctx context.Context, sites []model.Site) (*Activations, error) {
	a := &Activations{Task: t}
	var err error
	if a.Clean, err = t.CaptureSites(ctx, t.Pairs.Clean, sites); err != nil {
		return nil, err
	}
	a.Corrupted, err = t.CaptureSites(ctx, t.Pairs.Corrupted, sites)
	return a, err
}

// SenderSites lists where embeddings, heads and MLPs have their outputs: hook_embed, hook_pos_embed, hook_z and hook_mlp_out.
func SenderSites(s *model.Spec) []model.Site {
	out := []model.Site{{Kind: model.Embed}}
	if s.Has(model.Site{Kind: model.PosEmbed}) == nil {
		out = append(out, model.Site{Kind: model.PosEmbed})
	}
	for l := range s.Layers {
		out = append(out, model.Site{Kind: model.Z, Layer: l}, model.Site{Kind: model.MLPOut, Layer: l})
	}
	return out
}

// ReceiverSites lists what heads and MLPs read: hook_q, hook_k and hook_v, and mlp.hook_in.
func ReceiverSites(s *model.Spec) []model.Site {
	var out []model.Site
	for l := range s.Layers {
		for _, k := range []model.Kind{model.Q, model.K, model.V, model.MLPIn} {
			out = append(out, model.Site{Kind: k, Layer: l})
		}
	}
	return out
}

// Senders makes a node of every embedding, head and MLP: "input", "positions", "a0.h1", "m0". The sites must be captured.
func (a *Activations) Senders() ([]Component, error) { return a.every(SenderSites(a.Task.Model.Spec)) }

// Receivers makes a node of what every head and MLP reads: "a0.h1<q>", "a0.h1<k>" (one for each group of heads that shares keys), "m0<in>". The
// sites must be captured.
func (a *Activations) Receivers() ([]Component, error) {
	return a.every(ReceiverSites(a.Task.Model.Spec))
}

func (a *Activations) every(sites []model.Site) ([]Component, error) {
	var out []Component
	for _, s := range sites {
		if len(s.Kind.Axes()) == 3 {
			n, err := a.Whole(componentName(s, 0), s)
			if err != nil {
				return nil, err
			}
			out = append(out, n)
			continue
		}
		for h := range a.Task.Model.Spec.Dims(s.Kind, 1, 1)[2] {
			n, err := a.Head(s, h)
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
	}
	return out, nil
}

// componentName is the edge graph's name of what lives at a site.
func componentName(s model.Site, head int) string {
	switch s.Kind {
	case model.Embed:
		return "input"
	case model.PosEmbed:
		return "positions"
	case model.Z:
		return fmt.Sprintf("a%d.h%d", s.Layer, head)
	case model.Q, model.K, model.V:
		return fmt.Sprintf("a%d.h%d<%s>", s.Layer, head, map[model.Kind]string{model.Q: "q", model.K: "k", model.V: "v"}[s.Kind])
	case model.MLPOut:
		return fmt.Sprintf("m%d", s.Layer)
	case model.MLPIn:
		return fmt.Sprintf("m%d<in>", s.Layer)
	}
	return s.String()
}

// Whole is a site's whole value as a node.
func (a *Activations) Whole(name string, s model.Site) (Component, error) {
	width, err := a.width(s)
	return &part{name: name, site: s, width: width, hi: width, clean: a.Clean[s], corrupted: a.Corrupted[s]}, err
}

// Head is one head of a site that has heads (hook_z for what it sends; hook_q, hook_k and hook_v for what it reads).
func (a *Activations) Head(s model.Site, head int) (Component, error) {
	width, err := a.width(s)
	if err != nil {
		return nil, err
	}
	dims := a.Task.Model.Spec.Dims(s.Kind, 1, 1)
	if len(dims) != 4 || head < 0 || head >= dims[2] {
		return nil, fmt.Errorf("circuits: no head %d at site %s", head, s)
	}
	return &part{name: componentName(s, head), site: s, width: width, lo: head * dims[3], hi: (head + 1) * dims[3], clean: a.Clean[s], corrupted: a.Corrupted[s]}, nil
}

// Neuron is one coordinate of a site, such as mlp.hook_post.
func (a *Activations) Neuron(s model.Site, i int) (Component, error) {
	width, err := a.width(s)
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= width {
		return nil, fmt.Errorf("circuits: no neuron %d at site %s of width %d", i, s, width)
	}
	return &part{name: fmt.Sprintf("%s/%d", s, i), site: s, width: width, lo: i, hi: i + 1, clean: a.Clean[s], corrupted: a.Corrupted[s]}, nil
}

// Concept is a direction v of a site [width]: the coefficient is the component v.x/|v|^2, and what it writes is v.
func (a *Activations) Concept(name string, s model.Site, v []float32) (Component, error) {
	width, err := a.width(s)
	if err != nil {
		return nil, err
	}
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	if len(v) != width || square == 0 {
		return nil, fmt.Errorf("circuits: concept %s: %d values of squared length %g for site %s of width %d", name, len(v), square, s, width)
	}
	p := &part{name: name, site: s, width: width, hi: width, write: v, read: make([]float32, width)}
	for j, x := range v {
		p.read[j] = float32(float64(x) / square)
	}
	components := func(x []float32) []float32 {
		out := make([]float32, len(x)/width)
		for at := range out {
			var sum float64
			for j, r := range p.read {
				sum += float64(r) * float64(x[at*width+j])
			}
			out[at] = float32(sum)
		}
		return out
	}
	p.clean, p.corrupted = components(a.Clean[s]), components(a.Corrupted[s])
	return p, nil
}

// Reading is the receiver w.x at the last real position of each row, or summed over all real positions: a concept's projection, or a
// latent's pre-activation. Scores of edges into it are its own change, not the loss's.
func (a *Activations) Reading(name string, s model.Site, w []float32, everywhere bool) (Component, error) {
	width, err := a.width(s)
	if err != nil {
		return nil, err
	}
	if len(w) != width {
		return nil, fmt.Errorf("circuits: reading %s: %d weights for site %s of width %d", name, len(w), s, width)
	}
	p := a.Task.Pairs
	r := &reading{part: part{name: name, site: s, width: width, hi: width, read: w, write: slices.Clone(w), clean: make([]float32, p.Rows*p.Seq), corrupted: make([]float32, p.Rows*p.Seq)}, weight: make([]float32, p.Rows*p.Seq)}
	for row := range p.Rows {
		for i := range p.Seq {
			if everywhere && (p.Mask == nil || p.Mask[row*p.Seq+i] != 0) || !everywhere && i == p.last(row) {
				r.weight[row*p.Seq+i] = 1
			}
		}
	}
	return r, nil
}

// width is the number of values of a captured site at a place.
func (a *Activations) width(s model.Site) (int, error) {
	if a.Clean[s] == nil || a.Corrupted[s] == nil {
		return 0, fmt.Errorf("circuits: site %s was not captured; name it to Task.Activations", s)
	}
	return product(a.Task.Model.Spec.Dims(s.Kind, 1, 1)), nil
}
