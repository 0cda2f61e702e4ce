package vectors

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"loupe/internal/stats"
	"loupe/probe/model"
)

// DoseConfig says how a dose-response curve is measured.
type DoseConfig struct {
	Strengths   []float64             `json:"strengths" yaml:"strengths" doc:"doses, ascending; with 0 the unsteered text is among them"`
	MaxNew      int                   `json:"max_new" yaml:"max_new" doc:"tokens that are generated for each prompt"`
	Temperature float64               `json:"temperature" yaml:"temperature" doc:"0 takes the likeliest token, else tokens are drawn; every dose draws with the same seed"`
	Seed        uint64                `json:"seed" yaml:"seed" doc:"of the draws"`
	N           int                   `json:"n" yaml:"n" doc:"length of the n-grams of distinct-n"`
	Batch       int                   `json:"batch" yaml:"batch" doc:"texts that are read together for perplexity"`
	Mask        TokenMask             `json:"mask" yaml:"mask" doc:"which tokens are steered"`
	Bootstrap   stats.BootstrapConfig `json:"bootstrap" yaml:"bootstrap" doc:"of the intervals, over prompts"`
}

// DefaultDose generates 24 tokens greedily at five doses.
func DefaultDose() DoseConfig {
	return DoseConfig{Strengths: []float64{-8, -4, 0, 4, 8}, MaxNew: 24, N: 2, Batch: 8, Bootstrap: stats.DefaultBootstrap()}
}

// Validate names the field that is out of range.
func (c DoseConfig) Validate() error {
	switch {
	case len(c.Strengths) < 2 || !slices.IsSorted(c.Strengths) || len(slices.Compact(slices.Clone(c.Strengths))) != len(c.Strengths):
		return fmt.Errorf("vectors: dose response: strengths are %v: %w; give two or more, ascending, each once", c.Strengths, ErrArgument)
	case c.MaxNew < c.N || c.N < 1 || c.Batch < 1:
		return fmt.Errorf("vectors: dose response: max_new is %d, n %d and batch %d: %w; max_new is at least n, the others 1 or more", c.MaxNew, c.N, c.Batch, ErrArgument)
	}
	for _, s := range c.Strengths {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("vectors: dose response: strength %v: %w", s, ErrNotFinite)
		}
	}
	if err := c.Bootstrap.Validate(); err != nil {
		return fmt.Errorf("vectors: dose response: %w", err)
	}
	return c.Mask.Validate()
}

// Dose is what a strength does to the texts that follow the prompts: the concept's score, the perplexity of each text under the
// unsteered model given its prompt (exp of the mean negative log-likelihood of its tokens; the mean is taken before exp, over
// prompts too), and distinct-n, the share of different n-grams in a text.
type Dose struct {
	Strength   float64        `json:"strength"`
	Concept    stats.Interval `json:"concept"`
	Perplexity stats.Interval `json:"perplexity"`
	Distinct   stats.Interval `json:"distinct"`

	// By prompt.
	Concepts  []float64 `json:"concepts"`
	NLL       []float64 `json:"nll"` // nats a token
	Distincts []float64 `json:"distincts"`
	Outputs   [][]int32 `json:"outputs"`
}

// DoseCurve is a dose-response curve with its trend over all doses: Jonckheere's test of the concept's scores, and their rank
// correlation with the dose. Without any variation of the score there is no trend: Trend is nil and Spearman 0.
type DoseCurve struct {
	Doses    []Dose       `json:"doses"`
	Trend    *stats.Trend `json:"trend"`
	Spearman float64      `json:"spearman"`
}

// Scorer scores how much of a concept is in each text that follows a prompt; list are the interventions that made them.
type Scorer func(ctx context.Context, list []Placed, prompts, outputs [][]int32) ([]float64, error)

// DoseResponse generates from prompts at each strength of the configuration with the interventions that steer gives for it. All
// strengths run through the same compiled programs when steer differs in run-time values alone, as with Steering's Strength.
func DoseResponse(ctx context.Context, e *model.Engine, m *model.Model, prompts [][]int32, steer func(strength float64) ([]Placed, error), score Scorer, cfg DoseConfig) (*DoseCurve, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	curve := &DoseCurve{}
	for _, strength := range cfg.Strengths {
		list, err := steer(strength)
		if err != nil {
			return nil, err
		}
		d, err := measureDose(ctx, e, m, prompts, list, score, cfg)
		if err != nil {
			return nil, fmt.Errorf("vectors: dose %g: %w", strength, err)
		}
		d.Strength = strength
		curve.Doses = append(curve.Doses, *d)
	}
	return curve, curve.trend()
}

func measureDose(ctx context.Context, e *model.Engine, m *model.Model, prompts [][]int32, list []Placed, score Scorer, cfg DoseConfig) (*Dose, error) {
	opt := model.GenerateOptions{MaxNew: cfg.MaxNew, Temperature: cfg.Temperature, Seed: cfg.Seed}
	if err := Steer(m.Spec, list, prompts, cfg.Mask, nil, &opt); err != nil {
		return nil, err
	}
	d := &Dose{}
	var err error
	if d.Outputs, err = e.Generate(ctx, m, prompts, opt); err != nil {
		return nil, err
	}
	if d.Concepts, err = score(ctx, list, prompts, d.Outputs); err != nil {
		return nil, err
	}
	if len(d.Concepts) != len(prompts) {
		return nil, fmt.Errorf("%d scores of %d prompts: %w", len(d.Concepts), len(prompts), ErrShape)
	}
	if d.NLL, err = Surprise(ctx, e, m, prompts, d.Outputs, cfg.Batch); err != nil {
		return nil, err
	}
	for _, ids := range d.Outputs {
		share, err := distinct(ids, cfg.N)
		if err != nil {
			return nil, err
		}
		d.Distincts = append(d.Distincts, share)
	}
	if d.Concept, err = meanOver(ctx, d.Concepts, cfg.Bootstrap); err != nil {
		return nil, err
	}
	if d.Distinct, err = meanOver(ctx, d.Distincts, cfg.Bootstrap); err != nil {
		return nil, err
	}
	if d.Perplexity, err = meanOver(ctx, d.NLL, cfg.Bootstrap); err != nil {
		return nil, err
	}
	p := &d.Perplexity
	p.Value, p.Low, p.High = math.Exp(p.Value), math.Exp(p.Low), math.Exp(p.High)
	p.SE *= p.Value // to first order
	return d, nil
}

// Surprise is the mean negative log-likelihood, nats a token, of each text given its prompt under the model as it is: the
// logarithm of its perplexity.
func Surprise(ctx context.Context, e *model.Engine, m *model.Model, prompts, texts [][]int32, batch int) ([]float64, error) {
	if len(prompts) != len(texts) {
		return nil, fmt.Errorf("vectors: %d prompts with %d texts: %w", len(prompts), len(texts), ErrShape)
	}
	clozes := make([]Cloze, len(prompts))
	for i := range clozes {
		clozes[i] = Cloze{Prompt: prompts[i], Answer: texts[i]}
	}
	out, err := LogLikelihoods(ctx, e, m, nil, clozes, batch, nil)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i] /= -float64(len(texts[i]))
	}
	return out, nil
}

// trend fills in the tests over doses.
func (c *DoseCurve) trend() error {
	var groups [][]float64
	var doses, scores []float64
	for _, d := range c.Doses {
		groups = append(groups, d.Concepts)
		for _, s := range d.Concepts {
			doses, scores = append(doses, d.Strength), append(scores, s)
		}
	}
	trend, err := stats.Jonckheere(groups)
	if errors.Is(err, stats.ErrDegenerate) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("vectors: trend of the concept over doses: %w", err)
	}
	correlation, err := stats.Spearman(doses, scores)
	if err != nil {
		return fmt.Errorf("vectors: trend of the concept over doses: %w", err)
	}
	c.Trend, c.Spearman = &trend, correlation.R
	return nil
}

// Strongest is the dose of largest concept score whose perplexity is at most ratio times that of dose 0: the most of the concept
// that fluency allows. It is an error when 0 is not among the doses.
func (c *DoseCurve) Strongest(ratio float64) (Dose, error) {
	at := slices.IndexFunc(c.Doses, func(d Dose) bool { return d.Strength == 0 })
	if at < 0 || !(ratio >= 1) {
		return Dose{}, fmt.Errorf("vectors: strongest dose at a perplexity ratio of %v: %w; the ratio is 1 or more, and 0 is one of the doses", ratio, ErrArgument)
	}
	best, limit := c.Doses[at], ratio*c.Doses[at].Perplexity.Value
	for _, d := range c.Doses {
		if d.Perplexity.Value <= limit && d.Concept.Value > best.Concept.Value {
			best = d
		}
	}
	return best, nil
}

// meanOver is the mean with an interval over prompts; equal values have themselves as interval.
func meanOver(ctx context.Context, x []float64, cfg stats.BootstrapConfig) (stats.Interval, error) {
	if slices.Min(x) == slices.Max(x) {
		return stats.Interval{Value: x[0], Low: x[0], High: x[0], Level: cfg.Level, N: len(x)}, nil
	}
	r, err := stats.Bootstrap(ctx, len(x), stats.MeanOf(x), cfg)
	if err != nil {
		return stats.Interval{}, fmt.Errorf("vectors: %w", err)
	}
	return r.Interval, nil
}

// distinct is the share of different n-grams of a text; a text that ended before it had one repeats nothing.
func distinct(ids []int32, n int) (float64, error) {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	grams, err := stats.CountNGrams([][]string{words}, n)
	if errors.Is(err, stats.ErrTooFew) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("vectors: %w", err)
	}
	return grams.DistinctRatio(), nil
}
