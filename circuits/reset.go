package circuits

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"loupe/probe/model"
)

// ResetNetwork returns the model with the entries of every weight tensor permuted, by seed: each tensor keeps its values, and with them its scale,
// and loses its structure (the reset network of Conmy et al., arXiv:2304.14997). Embeddings, norms and biases are permuted too. The caller frees its
// Params.
func ResetNetwork(e *model.Engine, m *model.Model, seed uint64) (*model.Model, error) {
	r := rand.New(rand.NewPCG(seed, 0x7265736574))
	replaced := map[string][]float32{}
	for _, p := range m.Spec.Params() {
		values, err := m.Params.Values(p.Name)
		if err != nil {
			return nil, fmt.Errorf("circuits: reset network: %w", err)
		}
		r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		replaced[p.Name] = values
	}
	params, err := m.Params.WithValues(e.Backend(), replaced)
	if err != nil {
		return nil, fmt.Errorf("circuits: reset network: %w", err)
	}
	return &model.Model{Name: fmt.Sprintf("%s, reset by seed %d", m.Name, seed), Dir: m.Dir, Spec: m.Spec, Params: params}, nil
}

// Finder finds a circuit of a task.
type Finder func(ctx context.Context, t *Task) (*Circuit, error)

// ResetControl is what a method finds in a reset network.
type ResetControl struct {
	Edges   int
	Own     Fit     // the circuit in the reset network: a method may explain a network that does nothing
	InModel Fit     // the same circuit in the model
	Jaccard float64 // of its edges with the circuit under test
	// NoEffect: the inputs give the network's metric one value, so that there is nothing to find and the rest is zero.
	NoEffect bool
}

// resetControl finds a circuit in a reset network.
func resetControl(ctx context.Context, t *Task, ref *Reference, c *Circuit, kind Ablation, find Finder, seed uint64) (out *ResetControl, err error) {
	m, err := ResetNetwork(t.Engine, t.Model, seed)
	if err != nil {
		return nil, err
	}
	defer func() {
		if free := m.Params.FreeUnshared(t.Model.Params); err == nil {
			err = free
		}
	}()
	other, err := NewTask(ctx, t.Engine, m, t.Pairs, t.metric.metric, t.opt)
	if errors.Is(err, ErrNoEffect) {
		return &ResetControl{NoEffect: true}, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := find(ctx, other)
	if err != nil {
		return nil, fmt.Errorf("circuits: %s: %w", m.Name, err)
	}
	otherRef, err := other.Reference(ctx, kind, seed)
	if err != nil {
		return nil, err
	}
	own, err := fits(ctx, other, otherRef, found)
	if err != nil {
		return nil, err
	}
	in, err := fits(ctx, t, ref, found)
	if err != nil {
		return nil, err
	}
	return &ResetControl{Edges: found.Len(), Own: own[0], InModel: in[0], Jaccard: Jaccard(found, c)}, nil
}
