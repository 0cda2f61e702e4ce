package attack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
)

// ErrNotApplicable says that an attack has no hold on a variant, such as the inverse of a map on edited weights.
var ErrNotApplicable = errors.New("the attack does not apply to this variant")

// Where an attack is found.
const (
	ModeAdaptive = "adaptive" // on the variant, through its weights, hook and gate
	ModeStatic   = "static"   // on the original encoder, and then tried on the variant
)

// Goal is what an attacker wants: texts whose embedding is recognised as the concept.
type Goal struct {
	Target  method.Target
	Class   int             // the concept's prototype
	Zero    *erase.ZeroShot // of the original encoder
	Prompts []string        // held-out texts with the concept's name
	Mode    string          // ModeAdaptive or ModeStatic; "" is adaptive
	Seed    int64           // of what an attack draws
}

// Result is what an attack brought back. Before and After tell of each prompt whether the variant's embedding is the concept's.
type Result struct {
	Prompts []string `json:"prompts"`
	Before  []bool   `json:"before"`
	After   []bool   `json:"after"`
	Found   []string `json:"found"`   // the text that was found for each prompt, or a word on embeddings that are no text
	Queries int      `json:"queries"` // texts that were read, forwards or with a gradient
	Seconds float64  `json:"seconds"`
}

// Rates are the success rates before and after the attack.
func (r *Result) Rates() (erase.AttackRates, error) { return erase.AttackSuccess(r.Before, r.After) }

// Attack is one way to attack.
type Attack struct {
	Name, Title, Paper string
	WhiteBox           bool       // it needs gradients or weights of what it is found on
	Check              string     // what it is held against
	Config             func() any // a pointer to the default settings, which Validate
	// Run attacks a variant; nil is the original encoder.
	Run func(ctx context.Context, e *encoder.Encoder, v *encoder.Variant, g Goal, conf any) (*Result, error)
}

// All lists the attacks, the control first.
func All() []Attack {
	return []Attack{
		randomTokens(),
		paraphrase(),
		implicit(),
		insertion(),
		ringABell(),
		targetStates(),
		inverse(),
		p4d(),
		unlearnDiff(),
		softPrompt(),
		learnedEmbedding(),
	}
}

// Find finds an attack by its name.
func Find(name string) (Attack, error) {
	var names []string
	for _, a := range All() {
		if a.Name == name {
			return a, nil
		}
		names = append(names, a.Name)
	}
	slices.Sort(names)
	if near, ok := config.Nearest(name, names); ok {
		return Attack{}, fmt.Errorf("attack: %q is unknown; did you mean %q?", name, near)
	}
	return Attack{}, fmt.Errorf("attack: %q is unknown; use one of %s", name, strings.Join(names, ", "))
}

// run is a Run of an attack that fills in After and Found of a search's result.
func run(attack func(ctx context.Context, s *search, conf any) error) func(context.Context, *encoder.Encoder, *encoder.Variant, Goal, any) (*Result, error) {
	return func(ctx context.Context, e *encoder.Encoder, v *encoder.Variant, g Goal, conf any) (*Result, error) {
		begin := time.Now()
		s, err := newSearch(ctx, e, v, g)
		if err != nil {
			return nil, err
		}
		if c, ok := conf.(interface{ Validate() error }); ok {
			if err := c.Validate(); err != nil {
				return nil, fmt.Errorf("attack: %w", err)
			}
		}
		if err := attack(ctx, s, conf); err != nil {
			return nil, err
		}
		s.result.Queries, s.result.Seconds = s.queries, time.Since(begin).Seconds()
		return &s.result, nil
	}
}
