package erase

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// UCEConfig are the settings of unified concept editing.
type UCEConfig struct {
	Lambda        float64 `json:"lambda" doc:"weight of |W' - W|²"`
	EraseScale    float64 `json:"erase_scale" doc:"weight of each concept"`
	PreserveScale float64 `json:"preserve_scale" doc:"weight of each preserved row"`
	PriorScale    float64 `json:"prior_scale" doc:"weight of the mean second moment of ordinary text, where a prior is given"`
}

// DefaultUCE returns the settings of the published script (2025).
func DefaultUCE() UCEConfig {
	return UCEConfig{Lambda: 0.5, EraseScale: 1, PreserveScale: 1, PriorScale: 1}
}

// Validate fails on a setting that is negative or not finite, and on one that erases nothing.
func (c UCEConfig) Validate() error {
	if err := checkScales(scale{"lambda", c.Lambda}, scale{"erase_scale", c.EraseScale}, scale{"preserve_scale", c.PreserveScale}, scale{"prior_scale", c.PriorScale}); err != nil {
		return err
	}
	if c.EraseScale == 0 {
		return fmt.Errorf("erase: erase_scale is 0 and would erase nothing; use 1")
	}
	return nil
}

// Edit is a fitted Map and what it does to the embeddings of its request.
type Edit struct {
	*Map
	Errors   Errors
	Warnings []string // nil: none
}

// UCE maps each concept to its anchor and leaves the rest where lambda, the preserved rows and the prior hold it:
//
//	E = I + e sum_i (g_i - c_i) c_i' A^-1,   A = lambda I + e sum c c' + s sum p p' + prior
//
// W E is the published closed form with values W g ("replace") for every matrix W that reads the embeddings, so that one E stands
// for all of them (Gandikota et al., arXiv:2308.14761, eq. 7). Errors are of E itself (W = I).
func UCE(r Request, cfg UCEConfig) (*Edit, error) {
	r, s, err := uceSystem(r, cfg)
	if err != nil {
		return nil, err
	}
	m, err := s.mapTo(r.Anchors)
	if err != nil {
		return nil, err
	}
	return newEdit(m, r)
}

// uceSystem checks the request and builds its normal equations.
func uceSystem(r Request, cfg UCEConfig) (Request, normal, error) {
	if err := cfg.Validate(); err != nil {
		return r, normal{}, err
	}
	r, err := r.check()
	if err != nil {
		return r, normal{}, err
	}
	n, _ := r.Concepts.Dims()
	s := normal{from: r.Concepts, weight: ones(n, cfg.EraseScale), keep: r.kept(cfg.PreserveScale), moment: r.Prior.scaled(cfg.PriorScale), lambda: cfg.Lambda, cure: "lambda"}
	return r, s, nil
}

// newEdit measures a map on its request.
func newEdit(m *Map, r Request) (*Edit, error) {
	e := &Edit{Map: m}
	after := func(x *mat.Dense) *mat.Dense { return addThin(x, m.Right, m.Left) }
	e.Errors.Erased = relative(after(r.Concepts), r.Anchors)
	if r.Preserve != nil {
		e.Errors.Preserve = relative(after(r.Preserve), r.Preserve)
	}
	if r.HeldOut != nil {
		e.Errors.HeldOut = relative(after(r.HeldOut), r.HeldOut)
	}
	for i, row := range [][]float64{m.Left.RawMatrix().Data, m.Right.RawMatrix().Data} {
		if err := checkFinite(fmt.Sprintf("factor %d of the fitted map", i), row); err != nil {
			return nil, err
		}
	}
	if r.Preserve == nil && r.Prior == nil {
		what, drift := "the held-out rows", e.Errors.HeldOut
		if r.HeldOut == nil {
			what, drift = "the anchors", relative(after(r.Anchors), r.Anchors)
		}
		e.Warnings = append(e.Warnings, fmt.Sprintf("nothing is preserved: %s move by %.3g of their norm; give rows to preserve or a prior", what, drift))
	}
	return e, nil
}
