package autoencoders

import (
	"context"
	"fmt"
	"slices"

	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/sae"
)

// measured is all that is known of one dictionary.
type measured struct {
	method string
	eval   *Evaluation
	splice *Spliced
}

// Measure is a metric of a method.
type Measure struct {
	Method string    `json:"method"`
	Metric string    `json:"metric"`
	Title  string    `json:"title"`
	Values []float64 `json:"values"` // of the seeds
	// Seeds is the mean with Student's interval over seeds; with one seed it has no width and N is 1. Texts is the same mean
	// with the bootstrap interval over held-out texts; its N is 0 for numbers that texts do not resample.
	Seeds stats.Interval `json:"seeds"`
	Texts stats.Interval `json:"texts"`
	// Margins over the controls, better counted as positive, paired text by text.
	OverRandom  *stats.Interval `json:"over_random,omitempty"`
	OverPCA     *stats.Interval `json:"over_pca,omitempty"`
	OverAblated *stats.Interval `json:"over_mean_ablation,omitempty"`
}

// Ranking orders the architectures by a metric; equal ranks are ties.
type Ranking struct {
	Metric string       `json:"metric"`
	Order  []sae.Ranked `json:"order"`
}

// meanStatistic is the mean of statistics: of a method's seeds.
func meanStatistic(of []stats.Statistic) stats.Statistic {
	return func(index []int) float64 {
		sum := 0.0
		for _, s := range of {
			sum += s(index)
		}
		return sum / float64(len(of))
	}
}

// overTexts is a statistic with its interval over n texts; it has no width where all texts are alike, as with an L0 of k.
func overTexts(ctx context.Context, n int, s stats.Statistic, seed uint64) (stats.Interval, error) {
	all := lab.UpTo(n)
	value := s(all)
	alike := true
	for i := range all {
		alike = alike && s([]int{i}) == value
	}
	if alike {
		return stats.Interval{Value: value, Low: value, High: value, Level: lab.Level, N: n}, nil
	}
	r, err := stats.Bootstrap(ctx, n, s, lab.Bootstrap(int64(seed)))
	return r.Interval, err
}

// measure computes every metric of every method, with margins over the controls, and ranks the architectures.
func (x *experiment) measure(ctx context.Context, all []*measured, a *Ablated) ([]Measure, []Ranking, error) {
	var methods []string
	of := map[string][]*measured{}
	for _, m := range all {
		if of[m.method] == nil {
			methods = append(methods, m.method)
		}
		of[m.method] = append(of[m.method], m)
	}
	var out []Measure
	var rankings []Ranking
	for _, k := range x.metrics(len(all[0].eval.Texts.Doc), a) {
		var contenders []sae.Contender
		for _, method := range methods {
			m, err := x.measureOne(ctx, k, method, of)
			if err != nil {
				return nil, nil, fmt.Errorf("autoencoders: %s of %s: %w", k.name, method, err)
			}
			out = append(out, m)
			if method != random && method != pca {
				contenders = append(contenders, sae.Contender{Name: method, Values: m.Values})
			}
		}
		if !k.ranked {
			continue
		}
		order, err := sae.Rank(contenders, k.higher, lab.Level)
		if err != nil {
			return nil, nil, err
		}
		rankings = append(rankings, Ranking{k.name, order})
	}
	return out, rankings, nil
}

func (x *experiment) measureOne(ctx context.Context, k metric, method string, of map[string][]*measured) (Measure, error) {
	out := Measure{Method: method, Metric: k.name, Title: k.title}
	statistics := func(method string) []stats.Statistic {
		return lab.Column(of[method], func(m *measured) stats.Statistic { return k.of(m) })
	}
	for _, m := range of[method] {
		if k.plain != nil {
			out.Values = append(out.Values, k.plain(m))
		} else {
			out.Values = append(out.Values, k.of(m)(lab.UpTo(k.texts)))
		}
	}
	alone, err := sae.Rank([]sae.Contender{{Name: method, Values: out.Values}}, k.higher, lab.Level)
	if err != nil {
		return out, err
	}
	if out.Seeds = alone[0].Mean; k.plain != nil {
		return out, nil
	}
	own := meanStatistic(statistics(method))
	if out.Texts, err = overTexts(ctx, k.texts, own, x.cfg.Seed); err != nil {
		return out, err
	}
	if method == random || method == pca || k.name == "l0" {
		return out, nil
	}
	margin := func(over stats.Statistic) (*stats.Interval, error) {
		if over == nil {
			return nil, nil
		}
		sign := 1.0
		if !k.higher {
			sign = -1
		}
		i, err := overTexts(ctx, k.texts, func(index []int) float64 { return sign * (own(index) - over(index)) }, x.cfg.Seed)
		return &i, err
	}
	if out.OverRandom, err = margin(meanStatistic(statistics(random))); err != nil {
		return out, err
	}
	if out.OverPCA, err = margin(meanStatistic(statistics(pca))); err != nil {
		return out, err
	}
	out.OverAblated, err = margin(k.ablated)
	return out, err
}

// best is the trained autoencoder of lowest FVU, the first of equal ones.
func best(all []*measured) *measured {
	trained := slices.DeleteFunc(slices.Clone(all), func(m *measured) bool { return m.method == random || m.method == pca })
	return slices.MinFunc(trained, func(a, b *measured) int {
		switch d := a.eval.Result.FVU - b.eval.Result.FVU; {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
		return 0
	})
}
