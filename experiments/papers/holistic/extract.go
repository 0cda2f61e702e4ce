package holistic

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/vectors"
)

// extract extracts concepts in every way and measures them.
func (u *subject) extract(ctx context.Context, s *study.Session) ([]*vectors.Concepts, error) {
	c := u.cfg
	t := report.Table{
		Caption: fmt.Sprintf("%d concepts of %d rows, measured on %d held-out ones; stability over %d random halves", c.Concepts, len(u.train.class), len(u.held.class), c.Splits),
		Columns: []report.Column{
			{Name: "extraction"}, {Name: "relative l2"}, {Name: "FVU"}, {Name: "FVU, training rows"}, {Name: "codes at 0"}, {Name: "Hoyer"}, {Name: "concepts a row"},
			{Name: "stability", Doc: "mean cosine of the concepts of two halves that belong together"},
			{Name: "stability, shuffled", Doc: "the same where every column of the rows is shuffled"}, {Name: "topics", Doc: "mean cosine of topics' means, about the mean, with a concept of their own"},
		},
	}
	shuffled := vectors.ShuffleColumns(u.train.x, uint64(c.Seed))
	topics := u.topicMeans()
	var found []*vectors.Concepts
	others, pca := math.Inf(1), 0.0 // FVU of training rows
	for _, x := range c.extractors() {
		x = withBackend(x, s)
		concepts, err := x.Extract(ctx, u.train.x, c.Concepts, uint64(c.Seed))
		if err != nil {
			return nil, err
		}
		found = append(found, concepts)
		held, err := concepts.Quality(ctx, u.held.x)
		if err != nil {
			return nil, err
		}
		fitted, err := concepts.Quality(ctx, u.train.x)
		if err != nil {
			return nil, err
		}
		if x.Name() == (vectors.PCAExtractor{}).Name() {
			pca = fitted.FVU
		} else {
			others = min(others, fitted.FVU)
		}
		stable, err := vectors.Stability(ctx, x, u.train.x, c.Concepts, c.Splits, uint64(c.Seed))
		if err != nil {
			return nil, err
		}
		control, err := vectors.Stability(ctx, x, shuffled, c.Concepts, 2, uint64(c.Seed))
		if err != nil {
			return nil, err
		}
		_, cosine, err := vectors.MatchCosines(topics, concepts.W, mat.Min(concepts.U) < 0)
		if err != nil {
			return nil, err
		}
		stability, err := lab.MeanOver(ctx, stable, lab.UpTo(len(stable)), c.Seed)
		if err != nil {
			return nil, err
		}
		matched, shuffledMean := mean(cosine), mean(control)
		name := x.Name()
		s.Value(name+".relative", held.Relative)
		s.Value(name+".fvu", held.FVU)
		s.Value(name+".sparsity", held.Sparsity)
		s.Interval(name+".stability", stability)
		s.Value(name+".stability_over_shuffled", stability.Value-shuffledMean)
		s.Value(name+".topics", matched)
		t.Rows = append(t.Rows, []any{name, held.Relative, held.FVU, fitted.FVU, held.Zero, held.Sparsity, held.Abundance, lab.Cell(stability), shuffledMean, matched})
	}
	s.Value("pca.fvu_over_others", pca/others)
	s.Table("extraction", t)
	return found, nil
}

// withBackend gives the autoencoder where to train.
func withBackend(x vectors.Extractor, s *study.Session) vectors.Extractor {
	if about, ok := x.(vectors.AboutMean); ok {
		if a, ok := about.Extractor.(vectors.SAEExtractor); ok {
			a.Backend = s.Backend()
			return vectors.AboutMean{Extractor: a}
		}
	}
	return x
}

// topicMeans are the means of each topic's training rows less the mean of all.
func (u *subject) topicMeans() *mat.Dense {
	n, d := u.train.x.Dims()
	out, all, count := mat.NewDense(len(u.cfg.Topics), d, nil), make([]float64, d), make([]float64, len(u.cfg.Topics))
	for i, class := range u.train.class {
		floats.Add(out.RawRowView(class), u.train.x.RawRowView(i))
		floats.AddScaled(all, 1/float64(n), u.train.x.RawRowView(i))
		count[class]++
	}
	for class, k := range count {
		floats.Scale(1/k, out.RawRowView(class))
		floats.Sub(out.RawRowView(class), all)
	}
	return out
}

func mean(v []float64) float64 { return floats.Sum(v) / float64(len(v)) }
