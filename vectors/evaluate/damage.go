package evaluate

import (
	"context"
	"fmt"
	"math"

	"loupe/internal/stats"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/vectors"
)

// Config says what damage is measured on.
type Config struct {
	Documents  int    `json:"documents" doc:"texts whose perplexity is measured, and whose embeddings are compared: documentation of Go's standard library; 0: none"`
	MaxLength  int    `json:"max_length" doc:"tokens of a text; the rest is cut off"`
	Questions  int    `json:"questions" doc:"multiple-choice questions, generated: of what kind a thing is; 0: none"`
	Choices    int    `json:"choices" doc:"choices of a question"`
	Neighbours int    `json:"neighbours" doc:"nearest neighbours that embeddings are compared by"`
	Batch      int    `json:"batch" doc:"texts that run together"`
	Resamples  int    `json:"resamples" doc:"bootstrap resamples of the intervals"`
	Seed       uint64 `json:"seed" doc:"of the choice of texts, the questions and the intervals"`
}

// DefaultConfig is 60 texts and 60 questions of four choices.
func DefaultConfig() Config {
	return Config{Documents: 60, MaxLength: 64, Questions: 60, Choices: 4, Neighbours: 10, Batch: 16, Resamples: 1000, Seed: 1}
}

// Validate names the field that is out of range.
func (c Config) Validate() error {
	switch {
	case c.Documents < 0 || c.Questions < 0 || c.Documents+c.Questions == 0:
		return fmt.Errorf("evaluate: documents is %d and questions %d: %w; both are 0 or more, one above 0", c.Documents, c.Questions, vectors.ErrArgument)
	case c.MaxLength < 4:
		return fmt.Errorf("evaluate: max_length is %d: %w; use 4 tokens or more", c.MaxLength, vectors.ErrArgument)
	case c.Neighbours < 1 || c.Documents > 0 && c.Documents <= c.Neighbours:
		return fmt.Errorf("evaluate: neighbours is %d among %d documents: %w; use fewer, from 1 on", c.Neighbours, c.Documents, vectors.ErrArgument)
	case c.Batch < 1 || c.Resamples < 20 || c.Choices < 2:
		return fmt.Errorf("evaluate: batch is %d, resamples %d and choices %d: %w; use at least 1, 20 and 2", c.Batch, c.Resamples, c.Choices, vectors.ErrArgument)
	}
	return nil
}

// Data is what damage is measured on. The same data serve every edit.
type Data struct {
	Texts     []string
	Questions []text.Question
}

// Texts draws the data of a configuration by seed.
func (c Config) Texts(ctx context.Context) (Data, error) {
	var d Data
	if c.Documents > 0 {
		docs := text.DefaultCorpusConfig(text.KindGoRoot)
		docs.Sample, docs.Seed, docs.MaxDocs, docs.MinChars = 0.1, int64(c.Seed), c.Documents, 100
		corpus, err := text.Open(docs)
		if err != nil {
			return d, err
		}
		for doc, err := range corpus.Docs(ctx) {
			if err != nil {
				return d, err
			}
			d.Texts = append(d.Texts, doc.Text)
		}
		if len(d.Texts) < c.Documents {
			return d, fmt.Errorf("evaluate: %d texts of %d asked for: %w; ask for fewer", len(d.Texts), c.Documents, vectors.ErrArgument)
		}
	}
	if c.Questions > 0 {
		h, err := text.NewHierarchy()
		if err != nil {
			return d, err
		}
		if d.Questions, err = h.Questions(c.Choices, int64(c.Seed)); err != nil {
			return d, err
		}
		if len(d.Questions) < c.Questions {
			return d, fmt.Errorf("evaluate: %d questions, %d are asked for: %w; ask for fewer", len(d.Questions), c.Questions, vectors.ErrArgument)
		}
		d.Questions = d.Questions[:c.Questions]
	}
	return d, nil
}

// Measured are a subject's raw figures, a value a text or question. What its model does not have is empty.
type Measured struct {
	Losses Losses
	Right  []float64 // 1 for a question that is answered right
	Rows   []float32 // embeddings of the texts
	Width  int
}

// Measure runs a subject over the data: losses and questions of a language model, embeddings of a sentence encoder.
func (c Config) Measure(ctx context.Context, s Subject, d Data) (m Measured, err error) {
	spec := s.Model.Spec
	if spec.Decoder && len(d.Texts) > 0 {
		if m.Losses, err = s.Losses(ctx, d.Texts); err != nil {
			return m, err
		}
	}
	if spec.Decoder && len(d.Questions) > 0 {
		if m.Right, err = s.Chosen(ctx, d.Questions); err != nil {
			return m, err
		}
	}
	if spec.Has(model.Site{Kind: model.Sentence}) == nil && len(d.Texts) > 0 {
		m.Rows, m.Width, err = s.Embed(ctx, d.Texts)
	}
	if err == nil && len(m.Losses.Nats)+len(m.Right)+len(m.Rows) == 0 {
		err = fmt.Errorf("evaluate: %s is neither a language model nor a sentence encoder: %w; nothing can be measured", s.Model.Name, vectors.ErrArgument)
	}
	return m, err
}

// Damage is what an edit costs. Parts that the model does not have are nil.
type Damage struct {
	Perplexity *Perplexity `json:"perplexity,omitempty"`
	Choice     *Choice     `json:"multiple_choice,omitempty"`
	Embedding  *Embedding  `json:"embedding,omitempty"`
}

// Perplexity compares exp(mean loss of a token); intervals resample texts, before and after together.
type Perplexity struct {
	Texts  int            `json:"texts"`
	Tokens int            `json:"tokens"`
	Before stats.Interval `json:"before"`
	After  stats.Interval `json:"after"`
	Ratio  stats.Interval `json:"ratio"` // after over before; 1: no damage
}

// Choice compares the share of questions that are answered right; chance is one over the choices.
type Choice struct {
	Questions int            `json:"questions"`
	Chance    float64        `json:"chance"`
	Before    stats.Interval `json:"before"`
	After     stats.Interval `json:"after"`
	Lost      stats.Interval `json:"lost"` // before - after
}

// Embedding compares embeddings; 1 and 1: no damage.
type Embedding struct {
	Texts      int            `json:"texts"`
	K          int            `json:"k"`
	Cosine     stats.Interval `json:"cosine"`     // of a text's embedding before and after
	Neighbours stats.Interval `json:"neighbours"` // share of a text's K nearest neighbours that stay
}

// Compare puts what was measured of an edited subject beside what was measured of the subject as it is.
func (c Config) Compare(ctx context.Context, before, after Measured, d Data) (*Damage, error) {
	out := &Damage{}
	var err error
	if len(before.Losses.Nats) > 0 {
		if out.Perplexity, err = c.perplexity(ctx, before.Losses, after.Losses); err != nil {
			return nil, err
		}
	}
	if len(before.Right) > 0 {
		q := &Choice{Questions: len(before.Right), Chance: 1 / float64(len(d.Questions[0].Choices))}
		lost := make([]float64, len(before.Right))
		for i := range lost {
			lost[i] = before.Right[i] - after.Right[i]
		}
		for _, part := range []struct {
			to *stats.Interval
			x  []float64
		}{{&q.Before, before.Right}, {&q.After, after.Right}, {&q.Lost, lost}} {
			if *part.to, err = c.interval(ctx, len(part.x), stats.MeanOf(part.x)); err != nil {
				return nil, err
			}
		}
		out.Choice = q
	}
	if len(before.Rows) > 0 {
		cosine, stay, err := Drift(before.Rows, after.Rows, before.Width, c.Neighbours)
		if err != nil {
			return nil, err
		}
		e := &Embedding{Texts: len(cosine), K: c.Neighbours}
		if e.Cosine, err = c.interval(ctx, len(cosine), stats.MeanOf(cosine)); err != nil {
			return nil, err
		}
		if e.Neighbours, err = c.interval(ctx, len(stay), stats.MeanOf(stay)); err != nil {
			return nil, err
		}
		out.Embedding = e
	}
	return out, nil
}

func (c Config) interval(ctx context.Context, n int, s stats.Statistic) (stats.Interval, error) {
	r, err := stats.Bootstrap(ctx, n, s, stats.BootstrapConfig{Resamples: c.Resamples, Level: 0.95, Method: stats.Percentile, Seed: c.Seed})
	if err != nil {
		return stats.Interval{}, fmt.Errorf("evaluate: %w", err)
	}
	return r.Interval, nil
}

func (c Config) perplexity(ctx context.Context, before, after Losses) (*Perplexity, error) {
	if len(before.Nats) != len(after.Nats) {
		return nil, fmt.Errorf("evaluate: losses of %d texts before and %d after: %w", len(before.Nats), len(after.Nats), vectors.ErrShape)
	}
	p := &Perplexity{Texts: len(before.Nats)}
	for _, n := range before.Tokens {
		p.Tokens += n
	}
	mean := func(nats []float64) stats.Statistic { // mean loss of a token
		return func(index []int) float64 {
			sum, tokens := 0.0, 0.0
			for _, i := range index {
				sum, tokens = sum+nats[i], tokens+float64(before.Tokens[i])
			}
			return sum / tokens
		}
	}
	was, is := mean(before.Nats), mean(after.Nats)
	for _, part := range []struct {
		to *stats.Interval
		of stats.Statistic
	}{
		{&p.Before, func(i []int) float64 { return math.Exp(was(i)) }}, {&p.After, func(i []int) float64 { return math.Exp(is(i)) }},
		{&p.Ratio, func(i []int) float64 { return math.Exp(is(i) - was(i)) }},
	} {
		var err error
		if *part.to, err = c.interval(ctx, p.Texts, part.of); err != nil {
			return nil, err
		}
	}
	return p, nil
}
