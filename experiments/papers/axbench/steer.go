package axbench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/floats"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
)

// beginnings are what the model continues.
var beginnings = []string{
	"The minister told reporters that", "During the flight the captain announced that", "The professor began her lecture with", "Dear diary, today I",
	"Scientists have published a new study on", "The old man opened the wooden box and", "If I had a free afternoon, I would", "The advertisement on the bus said",
	"At the end of the day everybody talked about", "The doctor wrote in her notes that", "On the first page of the magazine there is", "My grandmother left me",
}

// outcome is how texts score, one number a prompt: concept and fluency from 0 to 2, and their harmonic mean.
type outcome struct {
	Concept, Fluency, Both []float64
	Text                   string // after the first measured prompt
}

// steer generates with every method and strength, and measures each method at its best strength on prompts that did not choose it.
func (e *experiment) steer(ctx context.Context, s *study.Session) error {
	plain, err := e.encode("")
	if err != nil {
		return err
	}
	base, err := e.generate(ctx, plain, e.methodAt(e.of[0].steer[diffMeans], 0))
	if err != nil {
		return err
	}
	baseNLL, err := vectors.Surprise(ctx, e.lab.Engine, e.lab.Model, plain, base, 6)
	if err != nil {
		return err
	}
	list := append([]string{nothing, prompt}, methods...)
	pooled := map[string]*outcome{}
	for _, m := range list {
		pooled[m] = &outcome{}
	}
	examples := report.Table{Caption: "a text of each method at its strength, after the first prompt that is measured", Columns: []report.Column{{Name: "concept"}, {Name: "method"}, {Name: "strength"}, {Name: "text"}}}
	for _, of := range e.of {
		for _, m := range list {
			var tried []*outcome
			var factors []float64
			switch m {
			case nothing:
				o, err := e.judgeTexts(ctx, of, plain, base, baseNLL)
				if err != nil {
					return err
				}
				tried, factors = append(tried, o), []float64{0}
			case prompt:
				asked, err := e.encode("Write about " + of.text.Concept + ". ")
				if err != nil {
					return err
				}
				o, err := e.attempt(ctx, of, asked, plain, e.methodAt(of.steer[diffMeans], 0), baseNLL)
				if err != nil {
					return err
				}
				tried, factors = append(tried, o), []float64{0}
			default:
				factors = e.cfg.Factors
				for _, f := range factors {
					o, err := e.attempt(ctx, of, plain, plain, e.methodAt(of.steer[m], f), baseNLL)
					if err != nil {
						return err
					}
					tried = append(tried, o)
				}
			}
			var both [][]float64
			for _, o := range tried {
				both = append(both, o.Both)
			}
			best := chooseBest(both, e.cfg.Choose)
			o, to := tried[best], pooled[m]
			to.Concept, to.Fluency, to.Both = append(to.Concept, o.Concept[e.cfg.Choose:]...), append(to.Fluency, o.Fluency[e.cfg.Choose:]...), append(to.Both, o.Both[e.cfg.Choose:]...)
			examples.Rows = append(examples.Rows, []any{of.text.Concept, m, factors[best], fmt.Sprintf("%q", o.Text)})
		}
	}
	n := len(beginnings) - e.cfg.Choose
	cluster := make([]int, 0, n*len(e.of)) // the same prompt for several concepts is one unit
	for range e.of {
		cluster = append(cluster, lab.UpTo(n)...)
	}
	t := report.Table{
		Caption: fmt.Sprintf("steering: scores from 0 to 2 over %d concepts and %d prompts that chose no strength; concept: twice the judge's probability; fluency: twice the ratio of perplexities, unsteered over steered, at most 1, times distinct-2; the score is their harmonic mean, text by text",
			len(e.of), n),
		Columns: []report.Column{{Name: "method"}, {Name: "concept"}, {Name: "fluency"}, {Name: "score"}, {Name: "score less that of a random direction"}},
	}
	for _, m := range list {
		o := pooled[m]
		cells := []any{m}
		for i, x := range [][]float64{o.Concept, o.Fluency, o.Both, lab.Minus(o.Both, pooled[random].Both)} {
			if m == random && i == 3 {
				cells = append(cells, nil)
				continue
			}
			got, err := lab.MeanOver(ctx, x, cluster, e.cfg.Seed)
			if err != nil {
				return err
			}
			s.Interval("steer."+names[m]+[]string{".concept", ".fluency", ".score", ".over_random"}[i], got)
			cells = append(cells, lab.Cell(got))
		}
		t.Rows = append(t.Rows, cells)
	}
	s.Table("steering", t)
	judges := report.Table{Caption: "the judge on held-out sentences", Columns: []report.Column{{Name: "concept"}, {Name: "AUROC"}}}
	for _, of := range e.of {
		judges.Rows = append(judges.Rows, []any{of.text.Concept, lab.Cell(of.judgeAUC)})
	}
	s.Table("judge", judges)
	s.Table("examples", examples)
	over, err := lab.MeanOver(ctx, lab.Minus(pooled[prompt].Both, pooled[diffMeans].Both), cluster, e.cfg.Seed)
	if err != nil {
		return err
	}
	s.Interval("steer.prompt_over_diff_means", over)
	if over, err = lab.MeanOver(ctx, lab.Minus(pooled[diffMeans].Both, pooled[latent].Both), cluster, e.cfg.Seed); err != nil {
		return err
	}
	s.Interval("steer.diff_means_over_sae", over)
	return nil
}

// methodAt places a direction at a strength.
func (e *experiment) methodAt(direction []float64, factor float64) []vectors.Placed {
	return []vectors.Placed{{Site: e.site, Do: vectors.Steering{Vector: direction, Strength: factor * e.length}}}
}

func (e *experiment) encode(prefix string) ([][]int32, error) {
	var out [][]int32
	for _, b := range beginnings {
		encoded, err := e.lab.Tokenizer.Encode(prefix+b, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return nil, err
		}
		out = append(out, encoded.IDs)
	}
	return out, nil
}

func (e *experiment) generate(ctx context.Context, prompts [][]int32, list []vectors.Placed) ([][]int32, error) {
	opt := model.GenerateOptions{MaxNew: e.cfg.MaxNew}
	if err := vectors.Steer(e.lab.Model.Spec, list, prompts, vectors.TokenMask{}, nil, &opt); err != nil {
		return nil, err
	}
	return e.lab.Engine.Generate(ctx, e.lab.Model, prompts, opt)
}

// attempt generates and judges; fluency is that of the text after the plain prompts.
func (e *experiment) attempt(ctx context.Context, of *concept, prompts, plain [][]int32, list []vectors.Placed, baseNLL []float64) (*outcome, error) {
	texts, err := e.generate(ctx, prompts, list)
	if err != nil {
		return nil, err
	}
	return e.judgeTexts(ctx, of, plain, texts, baseNLL)
}

func (e *experiment) judgeTexts(ctx context.Context, of *concept, plain, texts [][]int32, baseNLL []float64) (*outcome, error) {
	nll, err := vectors.Surprise(ctx, e.lab.Engine, e.lab.Model, plain, texts, 6)
	if err != nil {
		return nil, err
	}
	var whole []string
	for i, ids := range texts {
		text, err := e.lab.Tokenizer.Decode(slices.Concat(plain[i], ids), true)
		if err != nil {
			return nil, err
		}
		whole = append(whole, text)
	}
	x, err := e.judge.Read(ctx, whole, []model.Site{{Kind: model.Sentence}}, lab.MeanToken, lab.ReadOptions{Batch: 12})
	if err != nil {
		return nil, err
	}
	o := &outcome{Text: whole[e.cfg.Choose]}
	for i, ids := range texts {
		p := 1 / (1 + math.Exp(-of.judge.Bias-floats.Dot(of.judge.Weights, x[0].RawRowView(i))))
		words := make([]string, len(ids))
		for j, id := range ids {
			words[j] = strconv.Itoa(int(id))
		}
		grams, err := stats.CountNGrams([][]string{words}, 2)
		if err != nil {
			return nil, err
		}
		fluency := 2 * min(1, math.Exp(baseNLL[i]-nll[i])) * grams.DistinctRatio()
		o.Concept, o.Fluency, o.Both = append(o.Concept, 2*p), append(o.Fluency, fluency), append(o.Both, harmonic(2*p, fluency))
	}
	return o, nil
}
