package attack

import (
	"context"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// Recognition are M-ErasureBench's rates of one concept on one variant: prompts, and a learned embedding in the name's place.
type Recognition struct {
	Text    erase.Share `json:"text"`
	White   erase.Share `json:"learned_white"`  // learned on the variant
	Black   erase.Share `json:"learned_black"`  // learned on the original encoder
	Control erase.Share `json:"control"`        // a kept concept's embedding, learned on the variant, recognised as the erased concept
	Learnt  erase.Share `json:"control_learnt"` // and as its own
	Cosine  float64     `json:"cosine"`         // of the fitting prompts with the prototype, learned on the variant
}

// Recognise measures them. other is a concept that is kept; black is what Learn gave for goal on the original encoder. Learned embeddings
// are tried in the held-out prompts of their goals.
func Recognise(ctx context.Context, e *encoder.Encoder, v *encoder.Variant, goal, other Goal, black *Learned, c LearnedConfig) (*Recognition, error) {
	s, err := newSearch(ctx, e, v, goal)
	if err != nil {
		return nil, err
	}
	surfaces, err := s.surfaces(ctx)
	if err != nil {
		return nil, err
	}
	out := Recognition{Text: count(s.result.Before), Cosine: -1}
	for _, on := range surfaces { // through a gate and past it: what brings more back
		learned, err := Learn(ctx, e, on, []Goal{goal, other}, c)
		if err != nil {
			return nil, err
		}
		white, err := s.classes(ctx, learned[0], goal)
		if err != nil {
			return nil, err
		}
		if hits := countClass(white, goal.Class); out.White.N == 0 || hits.Hits > out.White.Hits {
			out.White, out.Cosine = hits, learned[0].Cosine
		}
		control, err := s.classes(ctx, learned[1], other)
		if err != nil {
			return nil, err
		}
		if own := countClass(control, other.Class); out.Learnt.N == 0 || own.Hits > out.Learnt.Hits {
			out.Learnt, out.Control = own, countClass(control, goal.Class)
		}
	}
	transferred, err := s.classes(ctx, black, goal)
	out.Black = countClass(transferred, goal.Class)
	return &out, err
}

// classes are what the variant takes the goal's prompts for with a learned embedding in the name's place.
func (s *search) classes(ctx context.Context, l *Learned, g Goal) ([]int, error) {
	texts := make([]*encoder.Soft, len(g.Prompts))
	for i, p := range g.Prompts {
		var err error
		if texts[i], err = l.Place(s.edited, p, g.Target.Name); err != nil {
			return nil, err
		}
	}
	states, err := s.e.SoftStates(ctx, s.v, texts)
	if err != nil {
		return nil, err
	}
	x, err := s.e.Rows(states)
	if err != nil {
		return nil, err
	}
	return g.Zero.Predict(x)
}

func count(hits []bool) erase.Share {
	s := erase.Share{N: len(hits)}
	for _, h := range hits {
		if h {
			s.Hits++
		}
	}
	return s
}

func countClass(classes []int, class int) erase.Share {
	hits := make([]bool, len(classes))
	for i, k := range classes {
		hits[i] = k == class
	}
	return count(hits)
}
