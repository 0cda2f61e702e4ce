package method

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// CGCEConfig are the settings of cgce.
type CGCEConfig struct {
	Refine erase.CGCEConfig  `json:"refine" doc:"when and how a text is refined"`
	Train  erase.TrainConfig `json:"train" doc:"of the classifiers, one for each concept"`
	Rounds int               `json:"rounds" doc:"trainings again, each with the refined prompts that still show the concept"`
	Kept   bool              `json:"kept" doc:"train against the prompts of the kept concepts and ordinary sentences too, and not against the anchor's alone"`
}

// Validate checks what needs no encoder.
func (c *CGCEConfig) Validate() error {
	if err := c.Refine.Validate(); err != nil {
		return err
	}
	if c.Rounds < 0 {
		return fmt.Errorf("rounds is %d; use 0 or more", c.Rounds)
	}
	return c.Train.Validate()
}

func cgce() Method {
	return Method{
		Name: "cgce", Title: "Classifier-guided concept erasure", Paper: "CGCE", Acts: ActsActivations,
		Check: "golden (TestGoldenErasure: logits, gradients, refinement), gradient (TestClassifierWeights); the paper's constants are not published",
		Config: func() any {
			c := &CGCEConfig{Refine: erase.DefaultCGCE(), Train: erase.DefaultTrain(), Kept: true, Rounds: 4}
			c.Refine.Step, c.Refine.Until = 2, 0.001
			c.Train.Attention = false // where texts are pooled by their mean, a query that finds one token leaves the concept in all others
			return c
		},
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*CGCEConfig)
			guard := &erase.Guard{Config: c.Refine}
			var losses []float64
			for i := range t.Erase {
				classifier, last, err := fitClassifier(ctx, e, t, i, c)
				if err != nil {
					return nil, fmt.Errorf("method: cgce: %s: %w", t.Erase[i].Name, err)
				}
				guard.Classifiers, losses = append(guard.Classifiers, classifier), append(losses, last)
			}
			return &encoder.Variant{Name: "cgce", Hook: guard, Layer: e.Layers(), Notes: map[string]any{"training_loss": losses}}, nil
		},
	}
}

// fitClassifier trains the classifier of one of a task's concepts on final states: its fitting prompts, by its own name and its
// synonyms, against the same templates with the anchor, and the rest of what is kept. A classifier of few texts can be satisfied by steps
// that leave the concept where it is, so it is trained again, Rounds times, with the refined prompts whose embedding is still nearer to the
// concept's than to the anchor's.
func fitClassifier(ctx context.Context, e *encoder.Encoder, t *Task, i int, c *CGCEConfig) (*erase.Classifier, float64, error) {
	target := t.Erase[i]
	list := slices.Clone(target.Fit)
	for _, s := range target.SynonymFit {
		list = append(list, s...)
	}
	with := len(list)
	list = append(list, target.AnchorFit...)
	if c.Kept {
		list = append(append(list, t.Preserved()...), t.Benign...)
	}
	states, err := e.StatesAt(ctx, nil, e.Layers(), list)
	if err != nil {
		return nil, 0, err
	}
	x, concept := make([]erase.Text, len(list)), make([]bool, len(list))
	for k, s := range states {
		x[k], concept[k] = s.Text(), k < with
	}
	bank := make([]*mat.Dense, 2) // the concept's and the anchor's embeddings
	for k, part := range [][]*encoder.State{states[:len(target.Fit)], states[with : with+len(target.AnchorFit)]} {
		if bank[k], err = e.Rows(part); err != nil {
			return nil, 0, err
		}
	}
	zero, err := erase.NewZeroShot(bank)
	if err != nil {
		return nil, 0, err
	}
	for round := 0; ; round++ {
		classifier, losses, err := erase.TrainClassifier(ctx, x, concept, c.Train, uint64(t.Seed))
		if err != nil || round == c.Rounds {
			return classifier, losses[len(losses)-1], err
		}
		guard := &erase.Guard{Classifiers: []*erase.Classifier{classifier}, Config: c.Refine}
		for _, s := range states[:with] {
			r, err := guard.Refine(s.Text())
			if err != nil {
				return nil, 0, err
			}
			refined := &encoder.State{Encoding: s.Encoding, X: r.X}
			row, err := e.Rows([]*encoder.State{refined})
			if err != nil {
				return nil, 0, err
			}
			if class, err := zero.Predict(row); err != nil {
				return nil, 0, err
			} else if class[0] == 0 && r.Steps > 0 {
				x, concept = append(x, refined.Text()), append(concept, true)
			}
		}
	}
}
