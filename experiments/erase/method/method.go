package method

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"loupe/experiments/erase/encoder"
	"loupe/internal/config"
)

// What a method changes.
const (
	ActsEmbeddings  = "embeddings"  // a map of the final states
	ActsActivations = "activations" // a hook between layers, or a guard of the final states
	ActsWeights     = "weights"     // edited weights
)

// Method is a way to erase concepts from a text encoder.
type Method struct {
	Name, Title, Paper string
	Acts               string
	Check              string     // its reference check, or why there is none
	Config             func() any // a pointer to the default settings, which Validate
	// Fit erases all of the task's concepts at once.
	Fit func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error)
}

// All lists the methods, baselines first.
func All() []Method {
	return []Method{
		nothing(),
		randomSubspace(),
		meanProjection(),
		leace(),
		negativePrompt(),
		uce(),
		rece(),
		trce(),
		realEra(),
		itd(),
		sauce(),
		cgce(),
		coErasing(),
		spm(),
		hirmRandom(),
		hirmSemantic(),
		esd(),
		allButOne(),
		advUnlearn(),
		fewShot(),
		slider(),
		doco(),
		ant(),
	}
}

// Find finds a method by its name.
func Find(name string) (Method, error) {
	var names []string
	for _, m := range All() {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	slices.Sort(names)
	if near, ok := config.Nearest(name, names); ok {
		return Method{}, fmt.Errorf("method: %q is unknown; did you mean %q?", name, near)
	}
	return Method{}, fmt.Errorf("method: %q is unknown; use one of %s", name, strings.Join(names, ", "))
}
