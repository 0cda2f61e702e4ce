package craft

import (
	"context"
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/vectors"
)

// extract extracts concepts from the training texts' spans and looks for the topics among them.
func (u *subject) extract(ctx context.Context, s *study.Session) error {
	c := u.cfg
	spans, err := u.train.spans(c)
	if err != nil {
		return err
	}
	held, err := u.held.spans(c)
	if err != nil {
		return err
	}
	heldMeans, err := vectors.SpanMeans(u.held.late, held)
	if err != nil {
		return err
	}
	if err := u.readable(ctx, s, spans, heldMeans, held); err != nil {
		return err
	}
	shuffled := u.shuffledTruth()
	t := report.Table{
		Caption: fmt.Sprintf("%d concepts of %d spans of %d tokens; cosines with the topics' mean directions, and AUC of the topic's concept for the topic of %d held-out spans", c.Concepts, len(spans), c.Span, len(held)),
		Columns: []report.Column{{Name: "extraction"}, {Name: "FVU"}, {Name: "mean cosine"}, {Name: "least cosine"}, {Name: "mean cosine, shuffled", Doc: "with the means of tokens where all sentences have drawn their topics from each other's"}, {Name: "AUC"}, {Name: "least AUC"}},
	}
	hals := vectors.DefaultHALS()
	for _, x := range []vectors.Extractor{vectors.NMFExtractor{Config: hals, Signed: true}, vectors.SemiNMFExtractor{Config: hals}, vectors.DefaultKMeans()} {
		found, err := vectors.FitCRAFT(ctx, vectors.AboutMean{Extractor: x}, u.train.late, spans, c.Concepts, uint64(c.Seed))
		if err != nil {
			return err
		}
		partner, cosine, err := vectors.MatchCosines(u.truth, found.Concepts.W, false)
		if err != nil {
			return err
		}
		control := 0.0
		for _, truth := range shuffled {
			_, v, err := vectors.MatchCosines(truth, found.Concepts.W, false)
			if err != nil {
				return err
			}
			control += mean(v) / float64(len(shuffled))
		}
		if x.Name() == "nmf" {
			u.craft, u.partner = found, partner
		}
		codes, err := found.Concepts.Encode(ctx, heldMeans)
		if err != nil {
			return err
		}
		auc := make([]float64, len(c.Topics))
		for k := range auc {
			is := make([]bool, len(held))
			for i, span := range held {
				is[i] = u.held.about(span, len(c.Topics)) == k
			}
			if auc[k], err = stats.AUC(mat.Col(nil, partner[k], codes), is); err != nil {
				return err
			}
		}
		fit, err := found.Concepts.Quality(ctx, heldMeans)
		if err != nil {
			return err
		}
		over, err := lab.MeanOver(ctx, cosine, lab.UpTo(len(cosine)), c.Seed)
		if err != nil {
			return err
		}
		detects, err := lab.MeanOver(ctx, auc, lab.UpTo(len(auc)), c.Seed)
		if err != nil {
			return err
		}
		s.Interval(x.Name()+".cosine", over)
		s.Value(x.Name()+".least_cosine", floats.Min(cosine))
		s.Value(x.Name()+".shuffled_cosine", control)
		s.Interval(x.Name()+".auc", detects)
		t.Rows = append(t.Rows, []any{x.Name(), fit.FVU, lab.Cell(over), floats.Min(cosine), control, lab.Cell(detects), floats.Min(auc)})
	}
	s.Table("extraction", t)
	return nil
}

// readable says whether a linear classifier of spans reads their topic: what extraction without labels could find.
func (u *subject) readable(ctx context.Context, s *study.Session, spans []vectors.Span, heldMeans *mat.Dense, held []vectors.Span) error {
	means, err := vectors.SpanMeans(u.train.late, spans)
	if err != nil {
		return err
	}
	k := len(u.cfg.Topics)
	class := make([]int, len(spans))
	for i, span := range spans {
		class[i] = u.train.about(span, k)
	}
	fit, err := vectors.Multinomial(ctx, means, class, 1)
	if err != nil {
		return err
	}
	p, err := fit.Probabilities(heldMeans)
	if err != nil {
		return err
	}
	right, text := make([]float64, len(held)), make([]int, len(held))
	for i, span := range held {
		text[i] = span.Text
		if floats.MaxIdx(p.RawRowView(i)) == u.held.about(span, k) {
			right[i] = 1
		}
	}
	accuracy, err := lab.MeanOver(ctx, right, text, u.cfg.Seed)
	if err != nil {
		return err
	}
	s.Interval("probe.accuracy", accuracy)
	s.Text("With labels, a linear classifier of spans reads the topic of %s of the held-out ones.", lab.Short(accuracy))
	return nil
}

// shuffledTruth are topics' means where all sentences have drawn their topics from each other's.
func (u *subject) shuffledTruth() []*mat.Dense {
	rng := rand.New(rand.NewPCG(uint64(u.cfg.Seed), 0x73687566746f7063)) // "shuftopc"
	var drawn []int
	for _, topics := range u.train.topics {
		drawn = append(drawn, topics...)
	}
	var out []*mat.Dense
	for range u.cfg.Random {
		rng.Shuffle(len(drawn), func(a, b int) { drawn[a], drawn[b] = drawn[b], drawn[a] })
		other, at := *u.train, 0
		other.topic = nil
		for i, on := range u.train.topic {
			to := map[int]int{} // a text's sentences are about different topics
			for _, k := range u.train.topics[i] {
				to[k] = drawn[at]
				at++
			}
			moved := make([]int, len(on))
			for t, k := range on {
				moved[t] = to[k]
			}
			other.topic = append(other.topic, moved)
		}
		out = append(out, other.topicMeans(len(u.cfg.Topics)))
	}
	return out
}

// recursion splits the concept whose strongest spans are of the most mixed topics, in the earlier layer.
func (u *subject) recursion(ctx context.Context, s *study.Session) error {
	c := u.cfg
	t := report.Table{
		Caption: fmt.Sprintf("The %d strongest spans of each concept: share of those of the commonest topic", c.Strongest),
		Columns: []report.Column{{Name: "concept"}, {Name: "commonest topic"}, {Name: "share"}, {Name: "spans"}},
	}
	split, least := -1, 2.0
	for k := range c.Concepts {
		places, err := u.craft.Strongest(k, c.Strongest)
		if err != nil {
			return err
		}
		topic, share := u.commonest(u.craft.Spans, places)
		if len(places) >= c.Parts && share < least {
			split, least = k, share
		}
		t.Rows = append(t.Rows, []any{k, c.Topics[max(topic, 0)], share, len(places)})
	}
	s.Table("concepts", t)
	if split < 0 {
		return fmt.Errorf("no concept is in %d spans or more, so none can be split", c.Parts)
	}
	hals := vectors.DefaultHALS()
	sub, err := u.craft.Recurse(ctx, vectors.AboutMean{Extractor: vectors.NMFExtractor{Config: hals, Signed: true}}, u.train.early, split, c.Strongest, c.Parts, uint64(c.Seed))
	if err != nil {
		return err
	}
	group := make([]int, len(sub.Spans))
	for i := range group {
		group[i] = floats.MaxIdx(sub.Concepts.U.RawRowView(i))
	}
	after := u.purity(sub.Spans, group)
	rng := rand.New(rand.NewPCG(uint64(c.Seed), 0x7265637572736521)) // "recurse!"
	control := 0.0
	for range c.Random {
		rng.Shuffle(len(group), func(a, b int) { group[a], group[b] = group[b], group[a] })
		control += u.purity(sub.Spans, group) / float64(c.Random)
	}
	s.Value("recursion.before", least)
	s.Value("recursion.after", after)
	s.Value("recursion.over_random", after-control)
	s.Text("Concept %d is the most mixed: %.2f of its strongest spans are of one topic. Split into %d before block %d, %.2f of the spans are of their part's commonest topic; of parts drawn at random %.2f.",
		split, least, c.Parts, c.Earlier, after, control)
	return nil
}

// commonest is the topic of most of the chosen spans, and their share.
func (u *subject) commonest(spans []vectors.Span, places []int) (topic int, share float64) {
	if len(places) == 0 {
		return -1, 0
	}
	count := make([]float64, len(u.cfg.Topics))
	for _, p := range places {
		count[u.train.about(spans[p], len(count))]++
	}
	topic = floats.MaxIdx(count)
	return topic, count[topic] / float64(len(places))
}

// purity is the share of spans of the commonest topic of their group.
func (u *subject) purity(spans []vectors.Span, group []int) float64 {
	of := map[int][]int{}
	for i, g := range group {
		of[g] = append(of[g], i)
	}
	right := 0.0
	for _, places := range of {
		_, share := u.commonest(spans, places)
		right += share * float64(len(places))
	}
	return right / float64(len(spans))
}

func mean(v []float64) float64 { return floats.Sum(v) / float64(len(v)) }
