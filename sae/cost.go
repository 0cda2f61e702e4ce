package sae

import (
	"fmt"
	"slices"
	"time"

	"github.com/gomlx/compute"
)

// Cost says what training an SAE takes. FLOPs count a multiplication and an addition as two, over the matrix products alone.
// Bytes are estimates: what the engine keeps from step to step, and the largest of what it needs within one.
type Cost struct {
	Params      int64   `json:"parameters"`
	DenseFLOPs  float64 `json:"dense_flops_per_row"`            // of a step by dense products: forward 2, backward 4 for each weight, without the input's gradient
	SparseFLOPs float64 `json:"sparse_flops_per_row,omitempty"` // with k latents a row beyond the encoder's product: 2 d F + 8 k d; 0 where there is no such path
	HostBytes   int64   `json:"host_bytes"`                     // on the host
	DeviceBytes int64   `json:"device_bytes"`                   // in the backend's memory, which for a CPU is the host's too
}

// Cost returns what an engine takes for a resolved configuration; "auto" counts as [EngineDense].
func (c Config) Cost(engine string) Cost {
	var out Cost
	var matrices, encoder, decoder float64
	for _, info := range layout(c) {
		n := int64(1)
		for _, dim := range info.shape {
			n *= int64(dim)
		}
		out.Params += n
		if len(info.shape) < 2 {
			continue
		}
		matrices += float64(n)
		switch info.name {
		case "W_enc":
			encoder = float64(n)
		case "W_dec":
			decoder = float64(n)
		}
	}
	out.DenseFLOPs = 6*matrices - 2*encoder
	if c.Arch == ArchMatchingPursuit { // every iteration is a product with the one matrix
		out.DenseFLOPs = 6 * decoder * float64(c.Pursuit.Iterations+1)
	}
	if supports(c, EngineHybrid) || supports(c, EngineXLA) {
		k := float64(c.K)
		if c.byBatch() {
			k = float64(c.batchK()) / float64(c.Batch)
		}
		out.SparseFLOPs = 2*encoder + k*float64(6*c.width()+2*c.inWidth())
	}
	state := 4 * 3 * out.Params // weights and both moments
	batch := 4 * int64(c.Batch)
	rows, scores := batch*int64(c.inWidth()+c.width()), batch*int64(c.latents())
	out.HostBytes = batch * int64(c.rowWidth())
	switch engine {
	case EngineHost, EngineHybrid:
		out.HostBytes += state + 4*out.Params + rows*int64(len(c.levels())) // the gradient, and an error for each level
		if engine == EngineHybrid {
			out.DeviceBytes = 4*int64(encoder) + rows + scores
		} else {
			out.HostBytes += 4 * int64(encoder)
		}
	case EngineXLA:
		out.DeviceBytes = 2*state + rows + 2*scores // the old state and the new
	default:
		out.DeviceBytes = 2*state + rows + 4*scores // pre-activations, activations, their gradients and a mask
	}
	return out
}

// Measured is a training step of a group's member.
type Measured struct {
	Member        // resolved
	Engine string // that trains it, chosen where the configuration leaves it open
	Step   time.Duration
}

// MeasureGroup times the reading of a batch from src and a step of each member on it, both after one that warms up. Members
// that differ in seed alone are measured once. No latent is dead in these steps, so that AuxK costs extra.
func MeasureGroup(b compute.Backend, members []Member, src Source) (steps []Measured, read time.Duration, err error) {
	g, err := newGroup(members, src)
	if err != nil {
		return nil, 0, err
	}
	size := g.members[0].Config.Batch
	batch := sourceBuffers(src, size)
	for range 2 {
		start := time.Now()
		n, err := fillSource(src, batch, size)
		if err != nil {
			return nil, 0, err
		}
		if n < size {
			return nil, 0, fmt.Errorf("sae: the data has %d rows, less than a batch of %d; lower batch, or read more text", n, size)
		}
		read = time.Since(start)
	}
	for i, m := range g.members {
		out := Measured{Member: m.Member}
		for j, before := range g.members[:i] {
			if sameButSeed(m.Config, before.Config) && slices.Equal(m.sites(), before.sites()) {
				out.Engine, out.Step = steps[j].Engine, steps[j].Step
				break
			}
		}
		if out.Engine == "" {
			x := m.join(batch, size, make([]float32, size*m.Config.rowWidth()))
			if out.Engine, out.Step, err = measureStep(b, m.Config, x); err != nil {
				return nil, 0, fmt.Errorf("SAE %s: %w", m.Name, err)
			}
		}
		steps = append(steps, out)
	}
	return steps, read, nil
}

func measureStep(b compute.Backend, cfg Config, batch []float32) (engine string, took time.Duration, err error) {
	t, err := NewTrainer(b, cfg, batch)
	if err != nil {
		return "", 0, err
	}
	defer t.Close()
	for range 2 {
		start := time.Now()
		if _, err := t.Step(batch); err != nil {
			return "", 0, fmt.Errorf("sae: measure a step: %w", err)
		}
		took = time.Since(start)
	}
	return t.Config().Engine, took, nil
}
