package vectors

import (
	"context"
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

// SquaredHinge is the exact minimum of 0.5 |w|² + C sum_i max(0, 1 - s_i (w.x_i + b))², s = +1 for class 1 and -1 for class 0;
// the intercept is not penalised. The loss is piecewise quadratic, so Newton's method on the rows inside the margin
// ends exactly. It replaces TCAV's hinge by stochastic gradients, whose result depends on the seed.
func SquaredHinge(ctx context.Context, x *mat.Dense, y []int, c float64) (Fit, error) {
	return fitMargin(ctx, "squared hinge", x, y, c, squaredHingeLoss)
}

// squaredHingeLoss is max(0, 1-m)² with its derivatives; the second is that of the active side.
func squaredHingeLoss(m float64) (value, slope, curvature float64) {
	if m >= 1 {
		return 0, 0, 0
	}
	return (1 - m) * (1 - m), -2 * (1 - m), 2
}

// CAVConfig says how a concept activation vector is fitted and tested.
type CAVConfig struct {
	C        float64 `json:"c" yaml:"c"`                 // weight of the squared hinge
	HeldOut  float64 `json:"held_out" yaml:"held_out"`   // share of each class that the test rows take, in (0, 1)
	Level    float64 `json:"level" yaml:"level"`         // confidence level of the gate
	MinAbove float64 `json:"min_above" yaml:"min_above"` // how far above the majority's share the interval must lie
	Seed     uint64  `json:"seed" yaml:"seed"`           // of the split
}

// DefaultCAV holds out a third of the rows, as TCAV does, and asks for an accuracy above the majority's at 95 %.
func DefaultCAV() CAVConfig { return CAVConfig{C: 0.1, HeldOut: 1.0 / 3, Level: 0.95} }

// Validate names the field that is out of range.
func (c CAVConfig) Validate() error {
	switch {
	case !(c.HeldOut > 0 && c.HeldOut < 1):
		return fmt.Errorf("vectors: CAV: held_out is %v: %w; it is a share between 0 and 1", c.HeldOut, ErrArgument)
	case !(c.Level > 0 && c.Level < 1):
		return fmt.Errorf("vectors: CAV: level is %v: %w; it is between 0 and 1, such as 0.95", c.Level, ErrArgument)
	case !(c.MinAbove >= 0 && c.MinAbove < 1):
		return fmt.Errorf("vectors: CAV: min_above is %v: %w; it is a difference of accuracies, 0 or more", c.MinAbove, ErrArgument)
	}
	return checkPenalty("CAV", c.C)
}

// CAV is a concept activation vector with the evidence that it is one.
type CAV struct {
	Fit                      // on all rows; Unit(Weights) is the direction, positive for class 1
	HeldOut   stats.Interval `json:"held_out"` // accuracy on rows that its fit on the others did not see, by Wilson
	Majority  float64        `json:"majority"` // share of the larger class among those rows
	Separates bool           `json:"separates"`
}

// FitCAV fits a vector that separates class 1 (the concept) from class 0 in x [n, d]. It is fitted on part of the rows and
// tested on the rest, drawn class by class; Separates tells whether the interval of the held-out accuracy lies above the
// majority's share by MinAbove. A vector that does not separate is still returned: reject it, or say so beside it.
// Rows that depend on each other (tokens of one text) must not be split: give one row of each.
func FitCAV(ctx context.Context, x *mat.Dense, y []int, cfg CAVConfig) (*CAV, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	_, _, _, err := checkClasses(x, y, 2, 2)
	if err != nil {
		return nil, err
	}
	train, test := splitClasses(y, cfg.HeldOut, cfg.Seed)
	trainX, trainY := selectRows(x, y, train)
	testX, testY := selectRows(x, y, test)
	seen, err := SquaredHinge(ctx, trainX, trainY, cfg.C)
	if err != nil {
		return nil, err
	}
	accuracy, err := seen.Accuracy(testX, testY)
	if err != nil {
		return nil, err
	}
	cav := &CAV{Majority: majority(testY)}
	if cav.HeldOut, err = stats.Wilson(int(accuracy*float64(len(test))+0.5), len(test), cfg.Level); err != nil {
		return nil, fmt.Errorf("vectors: CAV: %w", err)
	}
	cav.Separates = cav.HeldOut.Low > cav.Majority+cfg.MinAbove
	cav.Fit, err = SquaredHinge(ctx, x, y, cfg.C)
	return cav, err
}

// splitClasses shares the rows of each class out by seed; each side gets one row of it or more.
func splitClasses(y []int, heldOut float64, seed uint64) (train, test []int) {
	rng := rand.New(rand.NewPCG(seed, 0x63617673706c6974)) // "cavsplit"
	byClass := make([][]int, 2)
	for i, c := range y {
		byClass[c] = append(byClass[c], i)
	}
	for _, rows := range byClass {
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		cut := min(max(int(heldOut*float64(len(rows))+0.5), 1), len(rows)-1)
		test, train = append(test, rows[:cut]...), append(train, rows[cut:]...)
	}
	return train, test
}

func selectRows(x *mat.Dense, y, rows []int) (*mat.Dense, []int) {
	_, d := x.Dims()
	outX, outY := mat.NewDense(len(rows), d, nil), make([]int, len(rows))
	for i, r := range rows {
		outX.SetRow(i, x.RawRowView(r))
		outY[i] = y[r]
	}
	return outX, outY
}

// majority is the share of the larger class of binary labels.
func majority(y []int) float64 {
	ones := 0
	for _, c := range y {
		ones += c
	}
	return float64(max(ones, len(y)-ones)) / float64(len(y))
}
