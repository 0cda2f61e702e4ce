package erase

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

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
	Top       int     `json:"top" doc:"features of each prompt, by their largest code over its tokens"`
	Strength  float64 `json:"strength" doc:"factor of the concept's features"`
	Margin    float64 `json:"margin" doc:"of the least score of the target prompts, which is the threshold"`
	Between   bool    `json:"between" doc:"put the threshold at the geometric mean of the least score of the target prompts and the largest of the remaining ones, and not at margin; published: not"`
	KeepError bool    `json:"keep_error" doc:"change a text by its features' part alone and keep what the autoencoder does not reconstruct; published: not"`
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
	KeepError bool
	Warning   string // of a gate that cannot separate, with its ROC; empty: none
	Target    []int  // union of the target prompts' top features
	Remain    []int  // union of the remaining prompts'
}

// FitITD takes as the concept's features those among the Top of a target prompt and of no prompt that remains, and as threshold
// Margin times the least score of the target prompts.
func FitITD(coder Coder, target, remain []Text, cfg ITDConfig) (*ITD, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &ITD{Coder: coder, Strength: cfg.Strength, KeepError: cfg.KeepError}
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
	scores, err := e.scores(target, "target")
	if err != nil {
		return nil, err
	}
	e.Threshold = cfg.Margin * slices.Min(scores)
	if cfg.Between {
		return e, e.between(scores, remain)
	}
	return e, nil
}

func (e *ITD) scores(texts []Text, what string) ([]float64, error) {
	out := make([]float64, len(texts))
	for i, t := range texts {
		d, err := e.Deactivate(t)
		if err != nil {
			return nil, fmt.Errorf("%s prompt %d: %w", what, i, err)
		}
		out[i] = d.Score
	}
	return out, nil
}

// between puts the threshold between the scores of target prompts and those of the prompts that remain. Where they overlap it opens for as
// many target prompts as it can without opening for one that remains, and says so.
func (e *ITD) between(target []float64, remain []Text) error {
	rest, err := e.scores(remain, "remaining")
	if err != nil {
		return err
	}
	least, most := slices.Min(target), slices.Max(rest)
	switch {
	case most == 0:
		e.Threshold = least / 2
		return nil
	case most < least:
		e.Threshold = math.Sqrt(most * least)
		return nil
	}
	all, concept := slices.Concat(target, rest), make([]bool, len(target)+len(rest))
	for i := range target {
		concept[i] = true
	}
	curve, err := ROC(all, concept)
	if err != nil {
		return err
	}
	e.Warning = fmt.Sprintf("the gate cannot separate: a remaining prompt scores %.4g and a target prompt %.4g; ROC: %s", most, least, points(curve))
	gate, err := CalibrateGate(all, concept, 0)
	if err != nil {
		return fmt.Errorf("erase: %s: %w; change top, or train another autoencoder", e.Warning, vectors.ErrArgument)
	}
	e.Threshold = gate.Threshold
	return nil
}

// points shows at most eight points of a curve.
func points(curve []ROCPoint) string {
	var out []string
	for i, p := range curve {
		if step := (len(curve) + 7) / 8; i%step == 0 || i == len(curve)-1 {
			out = append(out, fmt.Sprintf("FPR %.3f TPR %.3f at %.4g", p.FPR, p.TPR, p.Threshold))
		}
	}
	return strings.Join(out, ", ")
}

// Deactivation is what ITD would make of a text.
type Deactivation struct {
	Codes      *Codes     // z, before the features are scaled
	Output     *mat.Dense // x' = z' W_dec + b [T, d], without the autoencoder's error; with KeepError x + (z' - z) W_dec
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
	d := new(Deactivation)
	if d.Codes, err = e.Coder.Encode(t.X); err != nil {
		return nil, err
	}
	if err := e.checkFeatures(); err != nil {
		return nil, err
	}
	if e.KeepError {
		if d.Output, err = e.Coder.Directions(d.Codes.times(e.change)); err == nil {
			d.Output.Add(d.Output, t.X)
		}
	} else {
		d.Output, err = e.Coder.Decode(d.Codes.times(e.factor))
	}
	if err != nil {
		return nil, err
	}
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

// factor is what a feature's code is multiplied by in a token.
func (e *ITD) factor(token int, feature int32) float64 {
	if token == 0 {
		return 1
	}
	if _, ours := slices.BinarySearch(e.Features, int(feature)); ours {
		return e.Strength
	}
	return 1
}

func (e *ITD) change(token int, feature int32) float64 { return e.factor(token, feature) - 1 }

func (e *ITD) checkFeatures() error {
	if n := len(e.Features); n > 0 && (e.Features[0] < 0 || e.Features[n-1] >= e.Coder.Features()) {
		return fmt.Errorf("erase: features %d to %d of %d: %w; are they another autoencoder's?", e.Features[0], e.Features[n-1], e.Coder.Features(), vectors.ErrArgument)
	}
	return nil
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

// Pullback is the gradient of a loss with respect to the states [T, d] that Apply was given, for its gradient g with respect to those
// that Apply returned. Held fixed are whether the text's score reaches the threshold and which features are active in which token.
func (e *ITD) Pullback(t Text, g *mat.Dense) (*mat.Dense, error) {
	d, err := e.Deactivate(t)
	if err != nil {
		return nil, err
	}
	if d.Score < e.Threshold {
		return g, nil
	}
	return e.pull(d.Codes, g)
}

// pull is the gradient through the edit of states with these codes, as if the gate were open.
func (e *ITD) pull(z *Codes, g *mat.Dense) (*mat.Dense, error) {
	as := e.factor
	if e.KeepError {
		as = e.change
	}
	factors := &Codes{Features: z.Features, Index: z.Index, Value: make([][]float64, len(z.Index))}
	for i, index := range factors.Index {
		for _, f := range index {
			factors.Value[i] = append(factors.Value[i], as(i, f))
		}
	}
	out, err := e.Coder.Pullback(factors, g)
	if err == nil && e.KeepError {
		out.Add(out, g)
	}
	return out, err
}

// Score is a text's score and the threshold from which ITD acts, with the score's gradient with respect to the states [T, d], by which
// an adaptive attack evades the gate. Which features are active, and which token has the largest gap, are held fixed.
func (e *ITD) Score(t Text) (score, threshold float64, gradient *mat.Dense, err error) {
	d, err := e.Deactivate(t)
	if err != nil {
		return 0, 0, nil, err
	}
	n, width := t.X.Dims()
	gap := mat.NewDense(n, width, nil)
	for i := range t.Length {
		row := gap.RawRowView(i)
		floats.SubTo(row, d.Output.RawRowView(i), t.X.RawRowView(i))
		if s := floats.Dot(row, row) / float64(width); s < d.Score*(1-1e-12) {
			clear(row)
		}
	}
	gap.Scale(2/float64(width), gap)
	if gradient, err = e.pull(d.Codes, gap); err != nil {
		return 0, 0, nil, err
	}
	gradient.Sub(gradient, gap)
	return d.Score, e.Threshold, gradient, nil
}

// topFeatures is the union over texts of the top features by their largest code over tokens 1..Length-1, ascending. Of equal
// codes the lower index comes first; a feature that is active in none of the tokens is not among the top.
func topFeatures(coder Coder, texts []Text, top int, what string) ([]int, error) {
	if len(texts) == 0 {
		return nil, fmt.Errorf("erase: no %s prompts: %w", what, vectors.ErrShape)
	}
	if top > coder.Features() {
		return nil, fmt.Errorf("erase: top is %d of %d features: %w", top, coder.Features(), vectors.ErrArgument)
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
		largest := make(map[int]float64)
		for token := 1; token < t.Length; token++ {
			for j, f := range z.Index[token] {
				largest[int(f)] = max(largest[int(f)], z.Value[token][j])
			}
		}
		order := slices.Sorted(maps.Keys(largest))
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(largest[b], largest[a]) })
		union = append(union, order[:min(top, len(order))]...)
	}
	slices.Sort(union)
	return slices.Compact(union), nil
}
