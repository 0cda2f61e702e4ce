package evaluate

import (
	"context"
	"fmt"

	"loupe/internal/lab"
	"loupe/internal/stats"
)

// sample is a quantity by prompt: what several fits say of one prompt is one unit.
type sample struct {
	at     map[string]int
	sum, n []float64
}

func newSample() *sample { return &sample{at: map[string]int{}} }

func (s *sample) add(prompt string, v float64) {
	i, in := s.at[prompt]
	if !in {
		i = len(s.sum)
		s.at[prompt], s.sum, s.n = i, append(s.sum, 0), append(s.n, 0)
	}
	s.sum[i] += v
	s.n[i]++
}

func (s *sample) hit(prompt string, hit bool) {
	v := 0.0
	if hit {
		v = 1
	}
	s.add(prompt, v)
}

// mean over the given units, or over all for nil.
func (s *sample) mean(index []int) float64 {
	sum, n := 0.0, 0.0
	if index == nil {
		for i := range s.sum {
			sum, n = sum+s.sum[i], n+s.n[i]
		}
		return sum / n
	}
	for _, i := range index {
		sum, n = sum+s.sum[i], n+s.n[i]
	}
	return sum / n
}

// constant tells whether every unit has the value 0, or every one 1.
func (s *sample) constant() bool {
	m := s.mean(nil)
	return m == 0 || m == 1 && !s.differs()
}

func (s *sample) differs() bool {
	for i := range s.sum {
		if s.sum[i]/s.n[i] != 1 {
			return true
		}
	}
	return false
}

// interval is the mean with its interval over prompts; nil where there is nothing to measure.
func (s *sample) interval(ctx context.Context, rate bool, seed int64) (*stats.Interval, error) {
	units := len(s.sum)
	switch {
	case units == 0:
		return nil, nil
	case rate && s.constant():
		i, err := stats.Wilson(int(s.mean(nil))*units, units, lab.Level)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		return &i, nil
	case units == 1:
		m := s.mean(nil)
		return &stats.Interval{Value: m, Low: m, High: m, Level: lab.Level, N: 1}, nil
	}
	r, err := stats.Bootstrap(ctx, units, s.mean, lab.Bootstrap(seed))
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return &r.Interval, nil
}

// harmonicInterval is the harmonic mean of 1 - erased, specific and, where there are synonyms, 1 - general, with an interval from
// resampling the prompts of each. A rate of 0 or 1 in every prompt does not vary between resamples: there the interval is
// widened to what the end of that rate's Wilson interval gives.
func harmonicInterval(ctx context.Context, erased, specific, general *sample, seed int64) (stats.Interval, error) {
	parts := []*sample{erased, specific}
	if len(general.sum) > 0 {
		parts = append(parts, general)
	}
	good := func(k int, rate float64) float64 {
		if k == 1 {
			return rate
		}
		return 1 - rate
	}
	var stratum, unit []int
	values := make([]float64, len(parts))
	for k, p := range parts {
		if len(p.sum) < 2 {
			return stats.Interval{}, fmt.Errorf("evaluate: %d prompts in part %d of the harmonic mean; erased and kept concepts need two or more each", len(p.sum), k)
		}
		for i := range p.sum {
			stratum, unit = append(stratum, k), append(unit, i)
		}
		values[k] = good(k, p.mean(nil))
	}
	r, err := stats.BootstrapStrata(ctx, stratum, func(index []int) float64 {
		var sum, n [3]float64
		for _, i := range index {
			k, u := stratum[i], unit[i]
			sum[k], n[k] = sum[k]+parts[k].sum[u], n[k]+parts[k].n[u]
		}
		rates := make([]float64, len(parts))
		for k := range parts {
			rates[k] = good(k, sum[k]/n[k])
		}
		return harmonic(rates)
	}, lab.Bootstrap(seed))
	if err != nil {
		return stats.Interval{}, fmt.Errorf("evaluate: %w", err)
	}
	out := r.Interval
	for k, p := range parts {
		if !p.constant() {
			continue
		}
		w, err := p.interval(ctx, true, seed)
		if err != nil {
			return out, err
		}
		for _, end := range []float64{w.Low, w.High} {
			moved := append([]float64(nil), values...)
			moved[k] = good(k, end)
			h := harmonic(moved)
			out.Low, out.High = min(out.Low, h), max(out.High, h)
		}
	}
	return out, nil
}

// harmonic is 0 where a value is.
func harmonic(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		if x <= 0 {
			return 0
		}
		sum += 1 / x
	}
	return float64(len(v)) / sum
}
