package sae

import (
	"fmt"
	"strings"
)

// Coder is what training gives and evaluation takes: an [SAE], a [Crosscoder] or a [CLT].
type Coder interface {
	Validate() error
	Shape() Shape
	// Reconstruct returns the latents of the rows of x, [n, InSites * DIn], and what is made of them, [n, OutSites * DOut],
	// on the host.
	Reconstruct(x []float32) (Latents, []float32, error)
	// Save writes the coder below dir and, where density is not nil, log10 of each latent's share of rows.
	Save(dir string, density []float64) error
}

// Shape is what a coder is.
type Shape struct {
	Arch     string `json:"architecture"`
	InSites  int    `json:"in_sites"`  // sites that a row has, one after the other
	OutSites int    `json:"out_sites"` // sites that are reconstructed
	DIn      int    `json:"d_in"`      // width of an input site
	DOut     int    `json:"d_out"`     // width of an output site
	Latents  int    `json:"latents"`   // all of them
	K        int    `json:"k,omitempty"`
	Params   int    `json:"parameters"`
	Target   bool   `json:"target"` // what is reconstructed is not the input
}

// Shape implements [Coder].
func (s *SAE) Shape() Shape {
	out := Shape{Arch: s.Arch, InSites: 1, OutSites: 1, DIn: s.DIn, DOut: s.Width(), Latents: s.DSAE, K: s.K, Target: s.Transcoder()}
	if a, err := architectureOf(s.Arch); err == nil {
		for _, t := range a.tensors(s) {
			out.Params += len(*t.at)
		}
	}
	if s.Temporal != nil {
		out.K = s.Temporal.TopK
	}
	return out
}

// Shape implements [Coder].
func (c *Crosscoder) Shape() Shape {
	out := Shape{Arch: c.arch(), InSites: c.Sites, OutSites: c.Sites, DIn: c.DIn, DOut: c.DIn, Latents: c.DSAE, K: c.K}
	for _, t := range c.tensors() {
		out.Params += len(*t.at)
	}
	return out
}

// arch is the name that training has for it.
func (c *Crosscoder) arch() string {
	return map[string]string{
		ActivationReLU: ArchCrosscoder, ActivationJumpReLU: ArchJumpReLUCrosscoder,
		ActivationTopK: ArchTopKCrosscoder, ActivationBatchTopK: ArchBatchTopKCrosscoder,
	}[c.Activation]
}

// Coder returns what was trained: the [SAE], [Crosscoder] or [CLT] for raw activations.
func (t *Trainer) Coder() (Coder, error) {
	switch {
	case t.cfg.crosses():
		return coderOf(t.Crosscoder())
	case t.cfg.crossLayer():
		return coderOf(t.CLT())
	}
	return coderOf(t.SAE())
}

// ReadCoder reads what lies at path in any of the [Formats] and returns the format's name.
func ReadCoder(path string) (Coder, string, error) {
	f, err := detect(path)
	if err != nil {
		return nil, "", err
	}
	if f.readCoder == nil {
		s, err := coderOf(f.read(path))
		return s, f.name, err
	}
	c, err := f.readCoder(path)
	return c, f.name, err
}

// WriteCoder writes a coder to path in a format, for the tool that the format belongs to; see [SAE.Write]. A crosscoder in a
// format of SAEs becomes one of the concatenated activations.
func WriteCoder(c Coder, path, name string) (notes []string, err error) {
	if s, ok := c.(*SAE); ok {
		return s.Write(path, name)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var can []string
	for _, f := range formats() {
		if x, ok := c.(*Crosscoder); ok && f.name == name && f.write != nil {
			return x.writeFlat(path, name)
		}
		if f.writeCoder == nil {
			continue
		}
		if f.name != name {
			can = append(can, f.name)
			continue
		}
		if notes, err = f.writeCoder(c, path); err != nil {
			return nil, fmt.Errorf("sae: write %s as %s: %w", path, name, err)
		}
		return notes, nil
	}
	return nil, fmt.Errorf("sae: %s is not written as %q; formats of several sites: %s", c.Shape().Arch, name, strings.Join(can, ", "))
}
