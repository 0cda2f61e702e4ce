package vectors

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
	"loupe/probe/model"
)

// ConditionScore is how a condition reads an activation x with its unit vector c.
type ConditionScore string

// Scores: c.x, which a model computes at every position; and c.x / |x|. CAST's similarity of x to its projection on c is the
// absolute value of the latter; ours keeps the sign, without which the opposite concept meets the condition too.
const (
	ScoreProjection ConditionScore = "projection"
	ScoreCosine     ConditionScore = "cosine"
)

// Condition holds for activations whose score lies above a threshold (Lee et al., arXiv:2409.05907, CAST).
type Condition struct {
	Vector    []float64 // [d]
	Threshold float64
	Score     ConditionScore
}

// ConditionConfig says how a condition is calibrated.
type ConditionConfig struct {
	Score   ConditionScore `json:"score" yaml:"score" doc:"what is compared with the threshold" enum:"projection,cosine"`
	MaxFPR  float64        `json:"max_fpr" yaml:"max_fpr" doc:"largest share of other rows on which the condition may hold, on the fitted rows; 0 takes the threshold of largest F1"`
	HeldOut float64        `json:"held_out" yaml:"held_out" doc:"share of each class that neither vector nor threshold sees, between 0 and 1"`
	Level   float64        `json:"level" yaml:"level" doc:"confidence level of the rates"`
	Seed    uint64         `json:"seed" yaml:"seed" doc:"seed of the split"`
}

// DefaultCondition calibrates a projection for the largest F1 on half of the rows.
func DefaultCondition() ConditionConfig {
	return ConditionConfig{Score: ScoreProjection, HeldOut: 0.5, Level: 0.95}
}

// Validate names the field that is out of range.
func (c ConditionConfig) Validate() error {
	switch {
	case c.Score != ScoreProjection && c.Score != ScoreCosine:
		return fmt.Errorf("vectors: condition: score %q: %w; it is %q or %q", c.Score, ErrArgument, ScoreProjection, ScoreCosine)
	case !(c.MaxFPR >= 0 && c.MaxFPR < 1):
		return fmt.Errorf("vectors: condition: max_fpr is %v: %w; it is from 0 to below 1", c.MaxFPR, ErrArgument)
	case !(c.HeldOut > 0 && c.HeldOut < 1) || !(c.Level > 0 && c.Level < 1):
		return fmt.Errorf("vectors: condition: held_out is %v and level %v: %w; both lie between 0 and 1", c.HeldOut, c.Level, ErrArgument)
	}
	return nil
}

// Calibrated is a condition with its rates on rows that it did not see, by Wilson, and its area under the ROC curve there.
type Calibrated struct {
	Condition
	TPR stats.Interval `json:"tpr"` // rows of class 1 on which it holds
	FPR stats.Interval `json:"fpr"` // rows of class 0 on which it holds
	AUC stats.Interval `json:"auc"`
}

// Calibrate fits a condition to activations x [n, d], class 1 for the condition: its vector is the difference of the class means,
// its threshold by the configuration, both on one part of the rows; the rates are of the other.
func Calibrate(x *mat.Dense, y []int, cfg ConditionConfig) (*Calibrated, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if _, _, _, err := checkClasses(x, y, 2, 4); err != nil {
		return nil, err
	}
	train, test := splitClasses(y, cfg.HeldOut, cfg.Seed)
	fitX, fitY := selectRows(x, y, train)
	v, err := DiffOfMeans(fitX, fitY)
	if err != nil {
		return nil, err
	}
	c := &Calibrated{Condition: Condition{Vector: v, Score: cfg.Score}}
	scores, err := c.Scores(fitX)
	if err != nil {
		return nil, err
	}
	c.Threshold = chooseThreshold(scores, fitY, cfg.MaxFPR)
	testX, testY := selectRows(x, y, test)
	if scores, err = c.Scores(testX); err != nil {
		return nil, err
	}
	var hits, sizes [2]int
	positive := make([]bool, len(testY))
	for i, s := range scores {
		sizes[testY[i]]++
		positive[i] = testY[i] == 1
		if s > c.Threshold {
			hits[testY[i]]++
		}
	}
	if c.TPR, err = stats.Wilson(hits[1], sizes[1], cfg.Level); err != nil {
		return nil, fmt.Errorf("vectors: condition: %w", err)
	}
	if c.FPR, err = stats.Wilson(hits[0], sizes[0], cfg.Level); err != nil {
		return nil, fmt.Errorf("vectors: condition: %w", err)
	}
	if c.AUC, err = stats.AUCNewcombe(scores, positive, cfg.Level); err != nil {
		return nil, fmt.Errorf("vectors: condition: %w", err)
	}
	return c, nil
}

// chooseThreshold returns the value between two neighbouring scores at which "score > value" has the largest F1, or, with
// maxFPR, finds most of class 1 while it holds for at most that share of class 0. Of equal ones it takes the largest.
func chooseThreshold(scores []float64, y []int, maxFPR float64) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { // descending
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	var total, above [2]int
	for _, c := range y {
		total[c]++
	}
	threshold, best := scores[order[0]], 0.0 // holds for none
	for i, at := range order {
		above[y[at]]++
		next := math.Inf(-1)
		if i+1 < len(order) {
			if next = scores[order[i+1]]; next == scores[at] {
				continue
			}
		}
		value := 2 * float64(above[1]) / float64(above[0]+above[1]+total[1]) // F1
		if maxFPR > 0 {
			value = float64(above[1])
			if float64(above[0]) > maxFPR*float64(total[0]) {
				break
			}
		}
		if value > best {
			best, threshold = value, scores[at]-1
			if i+1 < len(order) {
				threshold = (scores[at] + next) / 2
			}
		}
	}
	return threshold
}

// Scores reads each row of x [n, d].
func (c Condition) Scores(x *mat.Dense) ([]float64, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if err := checkWidth("condition", len(c.Vector), d); err != nil {
		return nil, err
	}
	u, err := Unit(c.Vector)
	if err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	out := make([]float64, n)
	for i := range n {
		row := x.RawRowView(i)
		out[i] = floats.Dot(u, row)
		if norm := floats.Norm(row, 2); c.Score == ScoreCosine && norm > 0 {
			out[i] /= norm
		}
	}
	return out, nil
}

// Holds tells for each row of x [n, d], one a prompt, whether the condition holds: CAST's decision, taken once for a text.
// Give the rows to Steer as weights 1 and 0.
func (c Condition) Holds(x *mat.Dense) ([]bool, error) {
	scores, err := c.Scores(x)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(scores))
	for i, s := range scores {
		out[i] = s > c.Threshold
	}
	return out, nil
}

// Gated is an intervention that acts at the positions where a condition holds, decided anew at each position, also while text
// is generated. The condition reads the site before the intervention, or another one that comes earlier in the forward pass.
type Gated struct {
	Condition
	Do Intervention
	At *model.Site // where the condition reads; nil is the site of the intervention
}

// Apply returns the rows of x [n, d], changed where the condition holds for them. At must be nil.
func (g Gated) Apply(x *mat.Dense) (*mat.Dense, error) {
	if g.At != nil {
		return nil, fmt.Errorf("vectors: gated intervention on rows: the condition reads %s: %w; it has only these rows", g.At, ErrArgument)
	}
	holds, err := g.Holds(x)
	if err != nil {
		return nil, err
	}
	out, err := g.Do.Apply(x)
	if err != nil {
		return nil, err
	}
	for i, yes := range holds {
		if !yes {
			out.SetRow(i, x.RawRowView(i))
		}
	}
	return out, nil
}

// EditAt is Intervention's. A cosine is no score of a model's gate; use Holds.
func (g Gated) EditAt(spec *model.Spec, site model.Site, batch, seq int, weight []float32) (*Edit, error) {
	if g.Score != ScoreProjection {
		return nil, fmt.Errorf("vectors: gate by %q: %w; a model's gate reads a %q", g.Score, ErrArgument, ScoreProjection)
	}
	u, err := Unit(g.Vector)
	if err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	e, err := g.Do.EditAt(spec, site, batch, seq, weight)
	if err != nil {
		return nil, err
	}
	if e.Class.Gate != model.GateNone {
		return nil, fmt.Errorf("vectors: gate of an intervention that has one: %w", ErrArgument)
	}
	read := site
	if g.At != nil && *g.At != site {
		read, e.Class.GateSite = *g.At, g.At
	}
	if w := spec.Width(read.Kind, seq); w != len(u) {
		return nil, checkWidth("condition at "+read.String(), len(u), w)
	}
	e.Class.Gate = model.GateStep
	e.Values["probe"], e.Values["threshold"] = vector32(u), tensors.FromScalar(float32(g.Threshold))
	e.Values["sharpness"] = tensors.FromScalar(float32(0)) // a step has none, but a generation wants every tensor
	return e, nil
}
