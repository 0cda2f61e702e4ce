package vectors

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
	"loupe/sae"
)

// LatentConfig says how latents are chosen as vectors of a concept.
type LatentConfig struct {
	Top     int     `json:"top" yaml:"top" doc:"how many latents are returned"`
	HeldOut float64 `json:"held_out" yaml:"held_out" doc:"share of each class that the choice does not see, between 0 and 1"`
	Level   float64 `json:"level" yaml:"level" doc:"confidence level of the held-out AUC"`
	Seed    uint64  `json:"seed" yaml:"seed" doc:"seed of the split"`
}

// DefaultLatents returns ten latents and judges them on half the rows.
func DefaultLatents() LatentConfig { return LatentConfig{Top: 10, HeldOut: 0.5, Level: 0.95} }

// Validate names the field that is out of range.
func (c LatentConfig) Validate() error {
	switch {
	case c.Top < 1:
		return fmt.Errorf("vectors: latents: top is %d: %w; it is 1 or more", c.Top, ErrArgument)
	case !(c.HeldOut > 0 && c.HeldOut < 1) || !(c.Level > 0 && c.Level < 1):
		return fmt.Errorf("vectors: latents: held_out is %v and level %v: %w; both lie between 0 and 1", c.HeldOut, c.Level, ErrArgument)
	}
	return nil
}

// LatentVector is a latent of a sparse autoencoder as a vector of a concept.
type LatentVector struct {
	Latent  int            `json:"latent"`
	AUC     float64        `json:"auc"`      // of its activation, on the rows that it was chosen on
	HeldOut stats.Interval `json:"held_out"` // AUC on the other rows, by Newcombe: not raised by the choice among all latents
	Decoder []float64      `json:"decoder"`  // [d], what it writes: the vector to steer with or to remove
	Encoder []float64      `json:"encoder"`  // [d], what it reads: the vector to detect with
}

// Latents returns the latents of s whose activations tell class 1 (the concept) from class 0 best, by AUC: descending, of
// equal ones the smaller number first. x is [n, d] with labels y. The choice among thousands of latents raises the AUC on
// the rows that it saw; read HeldOut.
func Latents(ctx context.Context, s *sae.SAE, x *mat.Dense, y []int, cfg LatentConfig) ([]LatentVector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n, d, _, err := checkClasses(x, y, 2, 2)
	if err != nil {
		return nil, err
	}
	if d != s.DIn {
		return nil, checkWidth(fmt.Sprintf("SAE of %d inputs", s.DIn), s.DIn, d)
	}
	train, test := splitClasses(y, cfg.HeldOut, cfg.Seed)
	seen, err := newActivations(ctx, s, x, y, train)
	if err != nil {
		return nil, err
	}
	unseen, err := newActivations(ctx, s, x, y, test)
	if err != nil {
		return nil, err
	}
	auc := make([]float64, s.DSAE)
	for l := range auc {
		auc[l] = seen.auc(l)
	}
	out := make([]LatentVector, 0, cfg.Top)
	for _, l := range largestIndices(auc, min(cfg.Top, s.DSAE)) {
		v := LatentVector{Latent: l, AUC: auc[l], Decoder: float64s(s.Decoder(l)), Encoder: make([]float64, d)}
		for j := range d {
			v.Encoder[j] = float64(s.WEnc[j*s.DSAE+l])
		}
		scores, positive := unseen.dense(l)
		if v.HeldOut, err = stats.AUCNewcombe(scores, positive, cfg.Level); err != nil {
			return nil, fmt.Errorf("vectors: latent %d of %d rows: %w", l, n, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// activations are the activations of all latents on some rows: for each latent those that are not 0.
type activations struct {
	positive []bool // by row
	of       [][]activation
}

type activation struct {
	row   int
	value float64
}

func newActivations(ctx context.Context, s *sae.SAE, x *mat.Dense, y, rows []int) (*activations, error) {
	a := &activations{of: make([][]activation, s.DSAE)}
	const batch = 256
	for lo := 0; lo < len(rows); lo += batch {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("vectors: latents: %w", err)
		}
		part := rows[lo:min(lo+batch, len(rows))]
		flat := make([]float32, 0, len(part)*s.DIn)
		for _, r := range part {
			flat = append(flat, float32s(x.RawRowView(r))...)
			a.positive = append(a.positive, y[r] == 1)
		}
		latents, err := s.Encode(flat)
		if err != nil {
			return nil, fmt.Errorf("vectors: latents: %w", err)
		}
		for r := range part {
			index, value := latents.Row(r)
			for j, l := range index {
				if value[j] != 0 {
					a.of[l] = append(a.of[l], activation{lo + r, float64(value[j])})
				}
			}
		}
	}
	return a, nil
}

// auc is the chance that a positive row has the larger activation, ties counted half. Rows where the latent is silent are
// one group of ties.
func (a *activations) auc(latent int) float64 {
	on := slices.Clone(a.of[latent])
	slices.SortFunc(on, func(p, q activation) int {
		switch {
		case p.value < q.value:
			return -1
		case p.value > q.value:
			return 1
		}
		return 0
	})
	positives := 0
	for _, p := range a.positive {
		if p {
			positives++
		}
	}
	negatives := len(a.positive) - positives
	silent := [2]int{negatives, positives} // rows by class
	for _, p := range on {
		silent[class(a.positive[p.row])]--
	}
	below := silent[0] // negatives below the present value (activations are positive)
	wins := float64(silent[1]) * float64(silent[0]) / 2
	for i := 0; i < len(on); {
		var tied [2]int
		j := i
		for ; j < len(on) && on[j].value == on[i].value; j++ {
			tied[class(a.positive[on[j].row])]++
		}
		wins += float64(tied[1]) * (float64(below) + float64(tied[0])/2)
		below += tied[0]
		i = j
	}
	return wins / float64(positives) / float64(negatives)
}

// dense are the activations of one latent on all rows.
func (a *activations) dense(latent int) (scores []float64, positive []bool) {
	scores = make([]float64, len(a.positive))
	for _, p := range a.of[latent] {
		scores[p.row] = p.value
	}
	return scores, a.positive
}

func class(positive bool) int {
	if positive {
		return 1
	}
	return 0
}

func float64s(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, e := range v {
		out[i] = float64(e)
	}
	return out
}
