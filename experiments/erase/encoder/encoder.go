package encoder

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/probe/model"
	"loupe/probe/token"
)

// ErrTooLong says that a text has more tokens than the encoder reads.
var ErrTooLong = errors.New("the text is longer than the encoder's context")

// Encoder is a text encoder with its tokenizer.
type Encoder struct {
	Engine    *model.Engine
	Model     *model.Model
	Tokenizer *token.Tokenizer
	Pool      string // which of a text's states is its embedding, one of erase.Selectors

	words []float32            // embedding table [vocabulary, d], read when it is first asked for
	kept  map[string][]float64 // embeddings [d] of the original encoder
}

// New returns an encoder. pool "" is what the model's kind pools: mean where a sentence encoder says nothing else, eos of CLIP, cls of
// other models with a pooler, last of decoders, else mean.
func New(engine *model.Engine, m *model.Model, tok *token.Tokenizer, pool string) (*Encoder, error) {
	e := &Encoder{Engine: engine, Model: m, Tokenizer: tok, Pool: pool}
	if pool == "" {
		e.Pool = defaultPool(m.Spec)
	}
	if e.Pool == erase.SelectAll || !slices.Contains(erase.Selectors(), e.Pool) {
		return nil, fmt.Errorf("encoder: pool %q makes no single embedding of a text; use one of %s", pool, strings.Join([]string{
			erase.SelectMean, erase.SelectCLS, erase.SelectEOS, erase.SelectLast}, ", "))
	}
	return e, nil
}

func defaultPool(s *model.Spec) string {
	switch {
	case s.Sentence.Mode == "cls":
		return erase.SelectCLS
	case s.Sentence.Mode == "last":
		return erase.SelectLast
	case s.Sentence.Mode != "":
		return erase.SelectMean
	case s.Pooler == model.PoolerEOS:
		return erase.SelectEOS
	case s.Pooler == model.PoolerFirst:
		return erase.SelectCLS
	case s.Decoder:
		return erase.SelectLast
	}
	return erase.SelectMean
}

// Layers is the number of blocks; as a layer it stands for the final states.
func (e *Encoder) Layers() int { return e.Model.Spec.Layers }

// Width is the width d of a state.
func (e *Encoder) Width() int { return e.Model.Spec.DModel }

// Site is the site of the states after so many blocks: the input of that block, or the final states.
func (e *Encoder) Site(layer int) (model.Site, error) {
	switch {
	case layer < 0 || layer > e.Layers():
		return model.Site{}, fmt.Errorf("encoder: layer %d; model %s has 0 (embeddings) to %d (final states)", layer, e.Model.Name, e.Layers())
	case layer == e.Layers():
		return model.Site{Kind: model.LastHidden}, nil
	}
	return model.Site{Kind: model.ResidPre, Layer: layer}, nil
}

// Tokens are a text's tokens with the special ones. A text longer than the context is an error that wraps ErrTooLong: nothing is cut.
func (e *Encoder) Tokens(s string) (token.Encoding, error) {
	t, err := e.Tokenizer.Encode(s, token.EncodeOptions{AddSpecial: true})
	if err != nil {
		return t, fmt.Errorf("encoder: text %q: %w", s, err)
	}
	if t.Len() == 0 {
		return t, fmt.Errorf("encoder: text %q has no tokens and the tokenizer adds none; give a text", s)
	}
	if limit := e.limit(); limit > 0 && t.Len() > limit {
		return t, fmt.Errorf("encoder: %.40q... has %d tokens, model %s reads %d: %w; shorten it", s, t.Len(), e.Model.Name, limit, ErrTooLong)
	}
	return t, nil
}

// limit is the longest text in tokens, 0 for any.
func (e *Encoder) limit() int {
	s := e.Model.Spec
	if s.PosRows > 0 {
		return s.PosRows - s.PosOffset
	}
	return s.MaxPos
}

// State is a text with its states.
type State struct {
	token.Encoding
	X     *mat.Dense // [T, d]
	Acted bool       // the variant's hook changed it
}

// Text is the state as methods of package erase take it.
func (s *State) Text() erase.Text {
	n, _ := s.X.Dims()
	return erase.Text{X: s.X, Length: n}
}

// Pooled is the one embedding [d] of a text.
func (e *Encoder) Pooled(s *State) ([]float64, error) {
	row, err := erase.Select(s.Text(), s.Special, e.Pool)
	if err != nil {
		return nil, err
	}
	return row.RawRowView(0), nil
}

// Spread is the gradient [T, d] with respect to a text's states for a gradient g [d] with respect to its embedding.
func (e *Encoder) Spread(s *State, g []float64) (*mat.Dense, error) {
	n, d := s.X.Dims()
	if len(g) != d {
		return nil, fmt.Errorf("encoder: gradient of width %d for states of width %d", len(g), d)
	}
	out := mat.NewDense(n, d, nil)
	switch e.Pool {
	case erase.SelectMean:
		for t := range n {
			row := out.RawRowView(t)
			for j, v := range g {
				row[j] = v / float64(n)
			}
		}
		return out, nil
	case erase.SelectCLS:
		copy(out.RawRowView(0), g)
		return out, nil
	case erase.SelectEOS:
		copy(out.RawRowView(n-1), g)
		return out, nil
	}
	for t := n - 1; t >= 0; t-- {
		if !s.Special[t] {
			copy(out.RawRowView(t), g)
			return out, nil
		}
	}
	return nil, fmt.Errorf("encoder: the text has no token that is not special, which pool %q needs", e.Pool)
}
