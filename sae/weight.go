package sae

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"loupe/probe/store"
)

// Weights say how much rows count in training. A row is read in proportion to its weight: of the rows in their shuffled order,
// one of weight w is left out with probability 1 - w / (the largest weight), anew in each epoch. The loss is thereby
// weighted in every engine, in expectation and without a change to it.
type Weights struct {
	Subsample float64       `json:"subsample" doc:"rows of a token that makes up a share s of the rows above this one weigh sqrt(subsample / s) (word2vec's subsampling of frequent words); 0: tokens weigh alike"`
	Classes   []ClassWeight `json:"class_weights" doc:"weights of the rows of documents by their labels; several that fit multiply, and none is 1"`
}

// ClassWeight is the weight of a class.
type ClassWeight struct {
	Label  string  `json:"label" doc:"label column of the store"`
	Class  string  `json:"class" doc:"class of the label"`
	Weight float64 `json:"weight" doc:"weight of its rows, 0 or more"`
}

// None tells whether all rows weigh alike.
func (w Weights) None() bool { return w.Subsample == 0 && len(w.Classes) == 0 }

// Validate names the first wrong value.
func (w Weights) Validate() error {
	if !(w.Subsample >= 0 && w.Subsample <= 1) {
		return fmt.Errorf("sae: subsample is %v; it must be a share of the rows between 0 (off) and 1", w.Subsample)
	}
	for i, c := range w.Classes {
		if c.Label == "" || !(c.Weight >= 0) || math.IsInf(c.Weight, 1) {
			return fmt.Errorf("sae: class_weights.%d is %+v; it needs a label and a weight of 0 or more", i, c)
		}
	}
	return nil
}

// weigher decides which rows of a store are read.
type weigher struct {
	weights Weights
	seed    uint64
	byToken map[int32]float64 // probability of being read; absent: 1
	byDoc   map[int64]float64 // the same; absent: other
	other   float64
	meta    func(rows []int64) ([]store.TokenRow, error)
}

// Weigh has the source read rows in proportion to their weights. It looks at the store's tokens once.
func (s *StoreSource) Weigh(ctx context.Context, w Weights) error {
	if err := w.Validate(); err != nil || w.None() {
		return err
	}
	g := &weigher{weights: w, seed: s.cursor.State().Seed, other: 1, meta: s.store.TokenRows}
	if w.Subsample > 0 {
		counts, n := map[int32]int64{}, 0.0
		err := s.store.Scan(ctx, nil, func(c store.Chunk) error {
			for r, token := range c.Token {
				if s.set.Has(c.First + int64(r)) {
					counts[token]++
					n++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		g.byToken = map[int32]float64{}
		for token, count := range counts {
			if share := float64(count) / n; share > w.Subsample {
				g.byToken[token] = math.Sqrt(w.Subsample / share)
			}
		}
	}
	if err := g.weighDocs(s.store); err != nil {
		return err
	}
	s.weigher = g
	return nil
}

// weighDocs finds the probabilities of documents.
func (g *weigher) weighDocs(st *store.Store) error {
	if len(g.weights.Classes) == 0 {
		return nil
	}
	docs, err := st.Docs()
	if err != nil {
		return err
	}
	g.byDoc = map[int64]float64{}
	for i, c := range g.weights.Classes {
		classes, ok := docs.Labels[c.Label]
		if !ok {
			return fmt.Errorf("sae: class_weights.%d: store %s has no label %q; it has %v", i, st.Dir(), c.Label, st.Manifest().Labels)
		}
		found := false
		for d, class := range classes {
			if class != c.Class {
				continue
			}
			found = true
			if _, ok := g.byDoc[docs.ID[d]]; !ok {
				g.byDoc[docs.ID[d]] = 1
			}
			g.byDoc[docs.ID[d]] *= c.Weight
		}
		if !found {
			return fmt.Errorf("sae: class_weights.%d: no document of store %s has the class %q of label %s", i, st.Dir(), c.Class, c.Label)
		}
	}
	most := 0.0
	if len(g.byDoc) < len(docs.ID) {
		most = 1
	}
	for _, w := range g.byDoc {
		most = max(most, w)
	}
	if most == 0 {
		return errors.New("sae: class_weights: every document weighs 0; give some class a weight")
	}
	g.other = 1 / most
	for id := range g.byDoc {
		g.byDoc[id] /= most
	}
	return nil
}

// take moves the rows that are read to the front and returns their number. first is the number of rows[0] in the order of all
// epochs.
func (g *weigher) take(rows []int64, first uint64) (int, error) {
	meta, err := g.meta(rows)
	if err != nil {
		return 0, err
	}
	n := 0
	for i, m := range meta {
		p, ok := g.byToken[m.Token]
		if !ok {
			p = 1
		}
		if doc, ok := g.byDoc[m.Doc]; ok {
			p *= doc
		} else {
			p *= g.other
		}
		if draw := float64(rand.NewPCG(g.seed, first+uint64(i)).Uint64()>>11) / (1 << 53); draw < p {
			rows[n] = rows[i]
			n++
		}
	}
	return n, nil
}

// weightedState is the state of a source with weights.
type weightedState struct {
	store.CursorState
	Weights *Weights `json:"weights,omitempty"`
}

// state returns the cursor's place and the weights that the order depends on.
func (s *StoreSource) state() weightedState {
	out := weightedState{CursorState: s.cursor.State()}
	if s.weigher != nil {
		out.Weights = &s.weigher.weights
	}
	return out
}

// restore is state's inverse.
func (s *StoreSource) restore(raw []byte) error {
	var at weightedState
	if err := json.Unmarshal(raw, &at); err != nil {
		return fmt.Errorf("sae: cursor of the store: %w", err)
	}
	was, _ := json.Marshal(at.Weights)
	is, _ := json.Marshal(s.state().Weights)
	if string(was) != string(is) {
		return fmt.Errorf("sae: cursor of the store: it was saved with weights %s and they are %s now; use those it was saved with", was, is)
	}
	return s.cursor.Restore(at.CursorState)
}
