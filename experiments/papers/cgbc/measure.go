package cgbc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/topictext"
	"loupe/probe"
	"loupe/vectors/bottleneck"
)

// How the concepts of a topic are written, and how their votes are joined.
const (
	withTopic  = "with topic"
	barePhrase = "bare phrase"
	meanVote   = "mean"
	softTrim   = "soft trim"
)

// Ways to choose concepts from a pool.
const (
	random  = "random"
	nearest = "nearest to the topic"
	dpp     = "DPP"
	quality = "DPP with quality"
)

var (
	writings = []string{withTopic, barePhrase}
	votes    = []string{meanVote, softTrim}
	choices  = []string{random, nearest, dpp, quality}
)

// panel is one seed's work.
type panel struct {
	cfg     *Config
	data    *topictext.Data
	foreign []string
	seed    uint64
	tally   *topictext.Tally

	texts, topics *mat.Dense // embeddings
}

func (p *panel) measure(ctx context.Context, enc *bottleneck.Encoder) error {
	var err error
	if p.texts, err = enc.Embed(ctx, p.data.HeldOut.Text); err != nil {
		return err
	}
	if p.topics, err = enc.Embed(ctx, p.cfg.Data.Topics); err != nil {
		return err
	}
	if err := p.bounds(ctx, enc); err != nil {
		return err
	}
	for _, condition := range conditions {
		drawn := p.pool(condition)
		for _, writing := range writings {
			x, err := enc.Embed(ctx, p.prompts(drawn, writing == barePhrase))
			if err != nil {
				return err
			}
			b := bottleneck.Bank{Names: drawn.phrases, Vectors: x}
			all := make([]int, b.Len())
			for i := range all {
				all[i] = i
			}
			if err := p.vote(condition+", "+writing, b, all); err != nil {
				return err
			}
			if writing == withTopic && (condition == clean || condition == foreign) {
				if err := p.choose(condition, b, drawn.outlier); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// bounds are the topic's name alone, and a linear probe that is trained.
func (p *panel) bounds(ctx context.Context, enc *bottleneck.Encoder) error {
	scores, err := cosines(bottleneck.Bank{Names: p.cfg.Data.Topics, Vectors: p.topics}, p.texts)
	if err != nil {
		return err
	}
	if err := p.tally.Right("zero-shot", scores, p.data.HeldOut.Topic); err != nil {
		return err
	}
	train, err := enc.Embed(ctx, p.data.Train.Text)
	if err != nil {
		return err
	}
	x, err := probe.RowsOf(train)
	if err != nil {
		return err
	}
	held, err := probe.RowsOf(p.texts)
	if err != nil {
		return err
	}
	target := probe.Target{Name: "topic", Task: probe.Multiclass, Class: p.data.Train.Topic, Classes: p.cfg.Data.Topics}
	fits, err := probe.Multinomial(ctx, x, []probe.Target{target}, probe.DefaultLogistic())
	if err != nil {
		return err
	}
	logits, err := fits[0].Scores(held)
	if err != nil {
		return err
	}
	return p.tally.Right("probe", mat.NewDense(held.N, len(p.cfg.Data.Topics), logits), p.data.HeldOut.Topic)
}

// vote notes what the chosen concepts of a bank say of the held-out texts, joined either way.
func (p *panel) vote(name string, b bottleneck.Bank, chosen []int) error {
	scores, err := cosines(b.Take(chosen), p.texts)
	if err != nil {
		return err
	}
	of := make([]int, len(chosen))
	for i, j := range chosen {
		of[i] = p.data.Of[j]
	}
	for _, how := range votes {
		logits, err := bottleneck.Vote(scores, of, len(p.cfg.Data.Topics), how == softTrim)
		if err != nil {
			return err
		}
		if err := p.tally.Right(name+", "+how, logits, p.data.HeldOut.Topic); err != nil {
			return err
		}
	}
	return nil
}

// choose takes some concepts of each topic's pool in every way, and notes how they vote, how alike they are, and how many of
// them are outliers.
func (p *panel) choose(condition string, b bottleneck.Bank, outlier []bool) error {
	rng := rand.New(rand.NewPCG(p.seed, 0x63686f696365)) // "choice"
	for _, how := range choices {
		draws := 1
		if how == random {
			draws = p.cfg.Draws
		}
		sums := map[string][]float64{}
		for range draws {
			chosen, err := p.chosen(how, b, rng)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", condition, how, err)
			}
			name := condition + ", " + how
			if err := p.vote(name, b, chosen); err != nil {
				return err
			}
			for _, v := range votes { // a text's mean over random draws
				hits := p.tally.Hits[name+", "+v]
				if sums[v] == nil {
					sums[v] = make([]float64, len(hits))
				}
				for i, h := range hits {
					sums[v][i] += h / float64(draws)
				}
			}
			bad := 0
			for _, j := range chosen {
				if outlier[j] {
					bad++
				}
			}
			p.tally.Value(name+", outliers", float64(bad)/float64(len(chosen)))
			alike, err := likeness(b, chosen, p.cfg.Chosen)
			if err != nil {
				return err
			}
			p.tally.Value(name+", cosine", alike)
		}
		for v, sum := range sums {
			p.tally.Hits[condition+", "+how+", "+v] = sum
		}
	}
	return nil
}

// chosen are the concepts of all topics that one way takes.
func (p *panel) chosen(how string, b bottleneck.Bank, rng *rand.Rand) ([]int, error) {
	size := p.cfg.Data.Phrases
	var out []int
	for t := range p.cfg.Data.Topics {
		own := make([]int, size)
		for i := range own {
			own[i] = t*size + i
		}
		mine := b.Take(own)
		topic := bottleneck.Bank{Names: p.cfg.Data.Topics[t : t+1], Vectors: mat.DenseCopyOf(p.topics.Slice(t, t+1, 0, p.topics.RawMatrix().Cols))}
		near, err := cosines(topic, mine.Vectors)
		if err != nil {
			return nil, err
		}
		cosine := mat.Col(nil, 0, near)
		var pick []int
		switch how {
		case random:
			pick = rng.Perm(size)[:p.cfg.Chosen]
		case nearest:
			pick = make([]int, size)
			for i := range pick {
				pick[i] = i
			}
			slices.SortStableFunc(pick, func(i, j int) int {
				switch {
				case cosine[i] > cosine[j]:
					return -1
				case cosine[i] < cosine[j]:
					return 1
				}
				return 0
			})
			pick = pick[:p.cfg.Chosen]
		default:
			var q []float64
			if how == quality {
				q = make([]float64, size)
				for i, c := range cosine {
					q[i] = max(c, 0)
				}
			}
			kernel, err := bottleneck.ConceptKernel(mine, q)
			if err != nil {
				return nil, err
			}
			c, err := bottleneck.ChooseDPP(kernel, p.cfg.Chosen)
			if err != nil {
				return nil, err
			}
			pick = c.Items
		}
		for _, i := range pick {
			out = append(out, own[i])
		}
	}
	return out, nil
}

// cosines of texts x [n, d] with the concepts of a bank, [n, m].
func cosines(b bottleneck.Bank, x *mat.Dense) (*mat.Dense, error) {
	return (&bottleneck.Scorer{Bank: b, Measure: bottleneck.Cosine}).Raw(x)
}

// likeness is the mean cosine between two concepts of one topic; chosen has size concepts of each.
func likeness(b bottleneck.Bank, chosen []int, size int) (float64, error) {
	sum, pairs := 0.0, 0.0
	for own := range slices.Chunk(chosen, size) {
		mine := b.Take(own)
		c, err := cosines(mine, mine.Vectors)
		if err != nil {
			return 0, err
		}
		for i := range own {
			for j := range i {
				sum, pairs = sum+c.At(i, j), pairs+1
			}
		}
	}
	return sum / pairs, nil
}
