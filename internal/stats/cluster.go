package stats

import (
	"context"
	"fmt"
)

// BootstrapClusters draws whole clusters with replacement: cluster is [n], the label of each example. Use it where examples
// of a cluster depend on each other (tokens of a document, paraphrases of a fact, runs of a seed); an interval over
// examples would be too narrow. It needs two clusters; below about ten the interval is rough whatever the method.
func BootstrapClusters(ctx context.Context, cluster []int, s Statistic, cfg BootstrapConfig) (BootstrapResult, error) {
	return bootstrapClusters(ctx, cluster, s, cfg, func(rng randInt, dst, members []int) []int { return append(dst, members...) })
}

// BootstrapHierarchical draws clusters (seeds, say) and then examples within each drawn cluster, both with replacement; each
// cluster has its own examples. Its variance is that of BootstrapClusters, which holds both levels already, plus most of the
// variance within (Davison and Hinkley 1997, section 3.8): wide where examples vary much and clusters little, else close.
func BootstrapHierarchical(ctx context.Context, cluster []int, s Statistic, cfg BootstrapConfig) (BootstrapResult, error) {
	return bootstrapClusters(ctx, cluster, s, cfg, func(rng randInt, dst, members []int) []int {
		for range members {
			dst = append(dst, members[rng.IntN(len(members))])
		}
		return dst
	})
}

type randInt interface{ IntN(n int) int }

func bootstrapClusters(ctx context.Context, cluster []int, s Statistic, cfg BootstrapConfig,
	expand func(rng randInt, dst, members []int) []int,
) (BootstrapResult, error) {
	if err := cfg.Validate(); err != nil {
		return BootstrapResult{}, err
	}
	clusters := group(cluster)
	if err := checkCount("the list of clusters", len(clusters), 2); err != nil {
		return BootstrapResult{}, err
	}
	rng := newRand(cfg.Seed)
	b := bootstrap{n: len(cluster), units: len(clusters), statistic: s, cfg: cfg}
	b.draw = func(dst []int) []int {
		for range clusters {
			dst = expand(rng, dst, clusters[rng.IntN(len(clusters))])
		}
		return dst
	}
	b.folds = [][][]int{jackknifeFolds(len(clusters), func(i int) []int { return clusters[i] })}
	return b.run(ctx)
}

// BootstrapCrossed draws rows and columns of a table independently: seeds by examples where every seed is scored on the same
// examples. s sees the drawn row and column numbers; both are only lent. The interval is Owen's pigeonhole bootstrap, somewhat
// wide by design; cfg.Method must be Percentile. Interval.N is the number of rows or of columns, whichever is smaller.
func BootstrapCrossed(ctx context.Context, rows, columns int, s func(row, column []int) float64, cfg BootstrapConfig) (BootstrapResult, error) {
	if err := cfg.Validate(); err != nil {
		return BootstrapResult{}, err
	}
	if cfg.Method != Percentile {
		return BootstrapResult{}, fmt.Errorf("stats: crossed bootstrap with method %q: %w; it has only %q", cfg.Method, ErrArgument, Percentile)
	}
	if err := checkCount("the list of rows", rows, 2); err != nil {
		return BootstrapResult{}, err
	}
	if err := checkCount("the list of columns", columns, 2); err != nil {
		return BootstrapResult{}, err
	}
	rng := newRand(cfg.Seed)
	shifted := make([]int, columns)
	b := bootstrap{n: rows + columns, units: min(rows, columns), cfg: cfg}
	b.statistic = func(index []int) float64 { // row numbers, then column numbers plus rows
		for k, i := range index[rows:] {
			shifted[k] = i - rows
		}
		return s(index[:rows], shifted)
	}
	b.draw = func(dst []int) []int {
		for range rows {
			dst = append(dst, rng.IntN(rows))
		}
		for range columns {
			dst = append(dst, rows+rng.IntN(columns))
		}
		return dst
	}
	return b.run(ctx)
}
