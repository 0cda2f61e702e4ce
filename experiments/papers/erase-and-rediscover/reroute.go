package eraseandrediscover

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"loupe/circuits"
	"loupe/internal/lab"
	"loupe/internal/stats"
)

// reroute compares the circuit of a variant with that before. Resampled prompts give circuits of their own, of which two of one model differ too.
type reroute struct {
	cross stats.Interval // Jaccard index of a resample's circuit before and another's after
	floor stats.Interval // mean of those between two resamples before, and two after
	gap   stats.Interval // floor less cross: rerouting beyond what resampling shows, where it is above 0
	// edges in at least 95 % of the resamples of one model and at most 5 % of those of the other
	gained, lost []circuits.Edge
	overlap      *circuits.OverlapResult
}

// resampled are circuits of resampled rows; rows[i] are those of circuit i.
func resampled(s *circuits.Scores, edges int, rows [][]int) []*circuits.Circuit {
	size := s.Graph.Size()
	out := make([]*circuits.Circuit, len(rows))
	sum := make([]float64, size)
	for i, index := range rows {
		clear(sum)
		for _, r := range index {
			for k, v := range s.Values[r*size:][:size] {
				sum[k] += v / float64(len(index))
			}
		}
		out[i] = circuits.Greedy(s.Graph, sum, edges)
	}
	return out
}

func compare(before, after *found, c *Config) (*reroute, error) {
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x7265726f757465))
	draw := func() [][]int {
		out := make([][]int, c.Resamples)
		for i := range out {
			for range before.scores.Rows {
				out[i] = append(out[i], rng.IntN(before.scores.Rows))
			}
		}
		return out
	}
	first, second := draw(), draw()
	b, b2 := resampled(before.scores, c.Edges, first), resampled(before.scores, c.Edges, second)
	a, a2 := resampled(after.scores, c.Edges, second), resampled(after.scores, c.Edges, first)
	cross, floor, gap := make([]float64, c.Resamples), make([]float64, c.Resamples), make([]float64, c.Resamples)
	for i := range b {
		cross[i] = (circuits.Jaccard(b[i], a[i]) + circuits.Jaccard(b2[i], a2[i])) / 2
		floor[i] = (circuits.Jaccard(b[i], b2[i]) + circuits.Jaccard(a[i], a2[i])) / 2
		gap[i] = floor[i] - cross[i]
	}
	out := &reroute{cross: spread(cross), floor: spread(floor), gap: spread(gap)}
	for _, e := range before.scores.Graph.Edges() {
		was, is := share(b, e), share(a, e)
		switch {
		case is >= .95 && was <= .05:
			out.gained = append(out.gained, e)
		case was >= .95 && is <= .05:
			out.lost = append(out.lost, e)
		}
	}
	var err error
	out.overlap, err = circuits.Overlap(before.circuit, after.circuit, 100, uint64(c.Seed))
	return out, err
}

// share is the share of circuits that have an edge.
func share(all []*circuits.Circuit, e circuits.Edge) float64 {
	n := 0.0
	for _, c := range all {
		if c.Keep[c.Graph.At(e)] {
			n++
		}
	}
	return n / float64(len(all))
}

// spread is the mean of values, one of each resample of prompts, with the middle 95 % of them.
func spread(x []float64) stats.Interval {
	sorted := slices.Sorted(slices.Values(x))
	mean, _ := moments(x)
	tail := (1 - lab.Level) / 2
	low, high := stat.Quantile(tail, stat.Empirical, sorted, nil), stat.Quantile(1-tail, stat.Empirical, sorted, nil)
	return stats.Interval{Value: mean, Low: low, High: high, Level: lab.Level, N: len(x)}
}

// backup is a head whose effect by attribution, summed over the edges that leave it, grows.
type backup struct {
	sender int
	growth stats.Interval // by attribution
	z      float64
}

// backups finds the heads whose effect grows by more than 4 standard errors over prompts (with 16 prompts, p = 0.0006 for a head) to more than it was,
// whatever its sign: a head that worked against the task and falls silent is no backup. Largest first.
func backups(ctx context.Context, before, after *found, seed int64) ([]backup, error) {
	g := before.scores.Graph
	var out []backup
	for u, name := range g.Senders {
		if name[0] != 'a' {
			continue
		}
		was, is := leaves(before.scores, u), leaves(after.scores, u)
		growth := lab.Minus(is, was)
		mean, sd := moments(growth)
		old, _ := moments(was)
		now, _ := moments(is)
		if sd == 0 || now <= math.Abs(old) {
			continue
		}
		z := mean / sd * math.Sqrt(float64(len(growth)))
		if z <= 4 {
			continue
		}
		i, err := lab.MeanOver(ctx, growth, lab.UpTo(len(growth)), seed)
		if err != nil {
			return nil, err
		}
		at := len(out)
		for at > 0 && out[at-1].growth.Value < i.Value {
			at--
		}
		out = append(out[:at], append([]backup{{u, i, z}}, out[at:]...)...)
	}
	return out, nil
}

// leaves sums the scores of the edges that leave a sender, for each row.
func leaves(s *circuits.Scores, u int) []float64 {
	out := make([]float64, s.Rows)
	size, width := s.Graph.Size(), len(s.Graph.Receivers)
	for r := range out {
		for _, v := range s.Values[r*size+u*width:][:width] {
			out[r] += v
		}
	}
	return out
}

func moments(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		sd += (v - mean) * (v - mean) / float64(len(x)-1)
	}
	return mean, math.Sqrt(sd)
}
