package evaluate

import (
	"cmp"
	"fmt"
	"slices"

	"loupe/internal/stats"
	"loupe/sae"
)

// MethodScore is a method's scores over its seeds.
type MethodScore struct {
	Method  string                    `json:"method"`
	Control string                    `json:"control,omitempty"`
	Seeds   int                       `json:"seeds"`
	Values  map[string]stats.Interval `json:"values"`    // over seeds where there are several, else the single score's own
	Rank    int                       `json:"rank"`      // by the outcome's first metric, 1 is best; 0: it has no order
	Ties    int                       `json:"ties_with"` // other methods of the same rank
	Names   []string                  `json:"dictionaries"`
}

// joinSeeds joins the scores of each method and ranks the methods by the outcome's first metric.
func joinSeeds(o *Outcome, dicts []*Dictionary, level float64) ([]MethodScore, error) {
	byName := map[string]*Dictionary{}
	for _, d := range dicts {
		byName[d.Name] = d
	}
	var out []MethodScore
	place := map[string]int{}
	values := map[string]map[string][]float64{} // method -> metric -> seeds
	for _, s := range o.Scores {
		d := byName[s.Dictionary]
		if d == nil {
			return nil, fmt.Errorf("evaluate: a score of %s, which was not measured", s.Dictionary)
		}
		i, ok := place[d.Method]
		if !ok {
			i = len(out)
			place[d.Method] = i
			out = append(out, MethodScore{Method: d.Method, Control: d.Control, Values: s.Values})
			values[d.Method] = map[string][]float64{}
		}
		out[i].Seeds++
		out[i].Names = append(out[i].Names, s.Dictionary)
		for name, v := range s.Values {
			values[d.Method][name] = append(values[d.Method][name], v.Value)
		}
	}
	for i := range out {
		m := &out[i]
		if m.Seeds < 2 {
			continue
		}
		m.Values = map[string]stats.Interval{}
		for name, seeds := range values[m.Method] {
			one, err := sae.Rank([]sae.Contender{{Name: m.Method, Values: seeds}}, true, level)
			if err != nil {
				return nil, fmt.Errorf("evaluate: %s: %w", name, err)
			}
			m.Values[name] = one[0].Mean
		}
	}
	slices.SortStableFunc(out, func(a, b MethodScore) int { return cmp.Compare(controlOrder(a.Control), controlOrder(b.Control)) })
	return out, rankMethods(o, out, values, level)
}

// controlOrder puts what is measured before its controls, and those before the baselines.
func controlOrder(control string) int {
	switch control {
	case "":
		return 0
	case ControlRandom, ControlPCA, ControlLinear:
		return 1
	}
	return 2
}

// rankMethods sets ranks and ties.
func rankMethods(o *Outcome, methods []MethodScore, values map[string]map[string][]float64, level float64) error {
	if len(o.Metrics) == 0 || o.Metrics[0].Better == Neither {
		return nil
	}
	first := o.Metrics[0]
	var contenders []sae.Contender
	for _, m := range methods {
		seeds := values[m.Method][first.Name]
		if len(seeds) == 0 {
			continue
		}
		if m.Control != "" && m.Control != ControlRandom { // no seed could change it
			seeds = []float64{seeds[0], seeds[0]}
		}
		contenders = append(contenders, sae.Contender{Name: m.Method, Values: seeds})
	}
	if len(contenders) == 0 {
		return nil
	}
	ranked, err := sae.Rank(contenders, first.Better == Higher, level)
	if err != nil {
		return fmt.Errorf("evaluate: %s: %w", first.Name, err)
	}
	of, shared := map[string]int{}, map[int]int{}
	for _, r := range ranked {
		of[r.Name] = r.Rank
		shared[r.Rank]++
	}
	for i := range methods {
		if rank := of[methods[i].Method]; rank > 0 {
			methods[i].Rank, methods[i].Ties = rank, shared[rank]-1
		}
	}
	return nil
}
