package erase

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Text is the states of one text at a site.
type Text struct {
	X      *mat.Dense // [T, d]; row 0 is the start token
	Length int        // valid tokens; the rest is padding
}

func (t Text) check(what string, d int) (tokens int, err error) {
	tokens, _, err = checkRows(what, t.X, d)
	if err != nil {
		return 0, err
	}
	if t.Length < 2 || t.Length > tokens {
		return 0, fmt.Errorf("erase: %s: %d valid tokens of %d: %w; it needs the start token and one more", what, t.Length, tokens, vectors.ErrArgument)
	}
	return tokens, nil
}

// ITDConfig are the settings of Interpret then Deactivate.
type ITDConfig struct {
	Top      int     `json:"top" doc:"features of each prompt, by their largest code over its tokens"`
	Strength float64 `json:"strength" doc:"factor of the concept's features"`
	Margin   float64 `json:"margin" doc:"of the least score of the target prompts, which is the threshold"`
}

// DefaultITD returns the published settings for people; styles use 256 features.
func DefaultITD() ITDConfig { return ITDConfig{Top: 128, Strength: -8, Margin: 0.99} }

// Validate fails on settings that select nothing or change nothing.
func (c ITDConfig) Validate() error {
	if c.Top < 1 {
		return fmt.Errorf("erase: top is %d: %w; use 1 or more", c.Top, vectors.ErrArgument)
	}
	if math.IsNaN(c.Strength) || math.IsInf(c.Strength, 0) || c.Strength == 1 {
		return fmt.Errorf("erase: strength is %v: %w; use a factor other than 1, such as -8 or 0", c.Strength, vectors.ErrArgument)
	}
	if !(c.Margin > 0 && c.Margin <= 1) {
		return fmt.Errorf("erase: margin is %v: %w; use a number above 0, up to 1", c.Margin, vectors.ErrArgument)
	}
	return nil
}

// ITD scales a concept's features in an autoencoder's codes, and only in texts whose score reaches its threshold (Tian et al.,
// arXiv:2503.09446). The score of a text is the largest over its valid tokens of mean_d (x' - x)², both when it is calibrated
// and when it is applied: the published code calibrates with it for people but applies a mean that includes the padding.
type ITD struct {
	Coder     Coder
	Features  []int // of the concept, ascending
	Strength  float64
	Threshold float64
	Target    []int // union of the target prompts' top features
	Remain    []int // union of the remaining prompts'
}

// FitITD takes as the concept's features those among the Top of a target prompt and of no prompt that remains, and as threshold
// Margin times the least score of the target prompts.
func FitITD(coder Coder, target, remain []Text, cfg ITDConfig) (*ITD, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &ITD{Coder: coder, Strength: cfg.Strength}
	var err error
	if e.Target, err = topFeatures(coder, target, cfg.Top, "target"); err != nil {
		return nil, err
	}
	if e.Remain, err = topFeatures(coder, remain, cfg.Top, "remaining"); err != nil {
		return nil, err
	}
	for _, f := range e.Target {
		if _, both := slices.BinarySearch(e.Remain, f); !both {
			e.Features = append(e.Features, f)
		}
	}
	if len(e.Features) == 0 {
		return nil, fmt.Errorf("erase: all %d top features of the target prompts are among those of the remaining ones: %w; raise top, or give remaining prompts without the concept", len(e.Target), vectors.ErrArgument)
	}
	least := math.Inf(1)
	for i, t := range target {
		d, err := e.Deactivate(t)
		if err != nil {
			return nil, fmt.Errorf("target prompt %d: %w", i, err)
		}
		least = min(least, d.Score)
	}
	e.Threshold = cfg.Margin * least
	return e, nil
}

// Deactivation is what ITD would make of a text.
type Deactivation struct {
	Codes      *mat.Dense // z [T, f], before the features are scaled
	Output     *mat.Dense // x' = z' W_dec + b [T, d], without the autoencoder's error
	ErrorKept  *mat.Dense // x + (z' - z) W_dec [T, d]
	Score      float64    // largest mean_d (x' - x)² of a valid token
	MeanScore  float64    // their mean over the valid tokens
	PaddedMean float64    // their mean over all tokens, padding included, as published
}

// Deactivate scales the features in all tokens but the first, whatever the text's score.
func (e *ITD) Deactivate(t Text) (*Deactivation, error) {
	n, err := t.check("text", e.Coder.Width())
	if err != nil {
		return nil, err
	}
	z, err := e.Coder.Encode(t.X)
	if err != nil {
		return nil, err
	}
	scaled := mat.DenseCopyOf(z)
	for i := 1; i < n; i++ {
		row := scaled.RawRowView(i)
		for _, f := range e.Features {
			if f < 0 || f >= len(row) {
				return nil, fmt.Errorf("erase: feature %d of %d: %w; is it another autoencoder's?", f, len(row), vectors.ErrArgument)
			}
			row[f] *= e.Strength
		}
	}
	d := &Deactivation{Codes: z}
	if d.Output, err = e.Coder.Decode(scaled); err != nil {
		return nil, err
	}
	plain, err := e.Coder.Decode(z)
	if err != nil {
		return nil, err
	}
	d.ErrorKept = new(mat.Dense)
	d.ErrorKept.Sub(d.Output, plain)
	d.ErrorKept.Add(d.ErrorKept, t.X)
	for i := range n {
		gap := floats.Distance(d.Output.RawRowView(i), t.X.RawRowView(i), 2)
		score := gap * gap / float64(e.Coder.Width())
		d.PaddedMean += score / float64(n)
		if i < t.Length {
			d.Score = max(d.Score, score)
			d.MeanScore += score / float64(t.Length)
		}
	}
	return d, nil
}

// Apply returns the deactivated states of a text whose score reaches the threshold, and of any other text its own, which are
// the same matrix, not a reconstruction.
func (e *ITD) Apply(t Text) (x *mat.Dense, fired bool, err error) {
	d, err := e.Deactivate(t)
	if err != nil {
		return nil, false, err
	}
	if d.Score >= e.Threshold {
		return d.Output, true, nil
	}
	return t.X, false, nil
}

// topFeatures is the union over texts of the top features by their largest code over tokens 1..Length-1, ascending. Of equal
// codes the lower index comes first.
func topFeatures(coder Coder, texts []Text, top int, what string) ([]int, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("erase: no %s prompts: %w", what, vectors.ErrShape)
	}
	var union []int
	for i, t := range texts {
		if _, err := t.check(fmt.Sprintf("%s prompt %d", what, i), coder.Width()); err != nil {
			return nil, err
		}
		z, err := coder.Encode(t.X)
		if err != nil {
			return nil, err
		}
		_, f := z.Dims()
		if top > f {
			return nil, fmt.Errorf("erase: top is %d of %d features: %w", top, f, vectors.ErrArgument)
		}
		largest, order := make([]float64, f), make([]int, f)
		for j := range f {
			order[j] = j
			for token := 1; token < t.Length; token++ {
				largest[j] = max(largest[j], z.At(token, j))
			}
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(largest[b], largest[a]) })
		union = append(union, order[:top]...)
	}
	slices.Sort(union)
	return slices.Compact(union), nil
}
