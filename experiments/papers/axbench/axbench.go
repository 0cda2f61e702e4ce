// Package axbench compares ways to detect and to steer concepts of generated data in one language model, beside a prompt: difference of
// means, PCA, a logistic probe, latents of a sparse autoencoder, a random direction (after arXiv:2501.17148).
package axbench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/sae"
	"loupe/vectors"
)

// Config says which concepts are detected and steered where.
type Config struct {
	study.Base
	Model    string    `json:"model" doc:"language model"`
	Judge    string    `json:"judge" doc:"text encoder whose probe judges generated text"`
	Concepts []string  `json:"concepts" doc:"concepts of the built-in suite"`
	Layer    int       `json:"layer" doc:"block after which concepts are read and steered"`
	Pairs    int       `json:"pairs" doc:"training pairs of a concept; half as many are held out"`
	Latents  int       `json:"latents" doc:"width of the sparse autoencoder"`
	K        int       `json:"k" doc:"active latents of a token"`
	Tokens   int64     `json:"tokens" doc:"training tokens of the autoencoder, in several passes over those of the sentences"`
	Factors  []float64 `json:"factors" doc:"strengths, in units of the mean length of activations; each method's best one is chosen on some prompts and measured on others"`
	Choose   int       `json:"choose" doc:"prompts on which strengths are chosen; the others are measured"`
	MaxNew   int       `json:"max_new" doc:"tokens that are generated for each prompt"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "axbench", Doc: "detection and steering of concepts by difference of means, PCA, probe, SAE latents and a prompt (after arXiv:2501.17148)", New: newConfig},
		Title: "Detecting and steering concepts: one table",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	return &Config{
		Base: study.Base{Name: "axbench", Seed: 1}, Model: "smollm2", Judge: "minilm", Concepts: []string{"food", "animals", "music"}, Layer: 15, Pairs: 100, Latents: 1024, K: 16,
		Tokens: 100_000, Factors: []float64{0.15, 0.3}, Choose: 4, MaxNew: 16,
	}
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	switch {
	case len(c.Concepts) < 1 || c.Pairs < 10 || c.Latents < 16 || c.K < 1 || c.K > c.Latents || c.Tokens < sparseBatch:
		return fmt.Errorf("concepts %v, pairs %d, latents %d, k %d, tokens %d; use a concept, 10 pairs, 16 latents, k from 1, and %d tokens or more", c.Concepts, c.Pairs, c.Latents, c.K, c.Tokens, sparseBatch)
	case len(c.Factors) == 0 || c.Choose < 1 || c.Choose > len(beginnings)-2 || c.MaxNew < 2:
		return fmt.Errorf("factors %v, choose %d, max_new %d; use a factor, 1 to %d prompts and 2 tokens or more", c.Factors, c.Choose, c.MaxNew, len(beginnings)-2)
	}
	return nil
}

// The ways to find a concept's direction, and the prompt that stands beside them in steering.
const (
	diffMeans = "difference of means"
	pca       = "PCA"
	logistic  = "logistic probe"
	latent    = "SAE latent"
	random    = "random direction"
	prompt    = "prompt"
	nothing   = "nothing"
)

var methods = []string{diffMeans, pca, logistic, latent, random}

// names are the methods' names in numbers.
var names = map[string]string{diffMeans: "diff_means", pca: "pca", logistic: "logistic", latent: "sae", random: "random", prompt: "prompt", nothing: "nothing"}

type experiment struct {
	cfg    *Config
	lab    *lab.Lab
	judge  *lab.Lab
	site   model.Site
	length float64 // mean length of activations
	dict   *sae.SAE
	of     []*concept
}

// concept is a concept with its rows and directions.
type concept struct {
	text     *lab.Sentences
	x        *mat.Dense // mean over a sentence's tokens
	detect   map[string][]float64
	steer    map[string][]float64
	judge    vectors.Fit // of sentence embeddings
	judgeAUC stats.Interval
}

func run(ctx context.Context, s *study.Session, c *Config) (err error) {
	e := &experiment{cfg: c, site: model.Site{Kind: model.ResidPost, Layer: c.Layer}}
	if e.lab, err = s.Open(ctx, c.Model); err != nil {
		return err
	}
	if e.judge, err = s.Open(ctx, c.Judge); err != nil {
		return err
	}
	if err := e.read(ctx); err != nil {
		return err
	}
	s.Done("read")
	for _, of := range e.of {
		if err := e.directions(ctx, of); err != nil {
			return err
		}
		if err := e.fitJudge(ctx, of); err != nil {
			return err
		}
	}
	s.Text("%d concepts after block %d of %s, %d training pairs each. Strengths are in units of the mean length of activations, %.1f. A probe of %s's sentence embeddings judges generated text.",
		len(e.of), c.Layer, c.Model, c.Pairs, e.length, c.Judge)
	s.Done("directions")
	if err := e.detect(ctx, s); err != nil {
		return err
	}
	s.Done("detect")
	defer s.Done("steer")
	return e.steer(ctx, s)
}

// read runs the sentences through the model, and trains the autoencoder on their tokens.
func (e *experiment) read(ctx context.Context) error {
	c := e.cfg
	all, err := lab.ConceptSentences(c.Concepts, c.Pairs, c.Pairs/2, c.Seed)
	if err != nil {
		return err
	}
	var tokens []float32
	total, count := 0.0, 0
	for _, sentences := range all {
		of := &concept{text: sentences, x: mat.NewDense(len(sentences.Texts), e.lab.Model.Spec.DModel, nil)}
		train := map[int]bool{}
		for _, i := range sentences.Split.Train {
			train[i] = true
		}
		err := e.lab.EachText(ctx, sentences.Texts, []model.Site{e.site}, lab.ReadOptions{}, func(i int, t lab.TextRows) error {
			rows, _ := t.Rows[0].Dims()
			mean, n := of.x.RawRowView(i), 0
			for r := range rows {
				if r == 0 || t.Special[r] { // a text's first token has a length of its own
					continue
				}
				row := t.Rows[0].RawRowView(r)
				floats.Add(mean, row)
				n++
				total += floats.Norm(row, 2)
				count++
				if train[i] {
					for _, v := range row {
						tokens = append(tokens, float32(v))
					}
				}
			}
			floats.Scale(1/float64(max(n, 1)), mean)
			return nil
		})
		if err != nil {
			return err
		}
		e.of = append(e.of, of)
	}
	e.length = total / float64(count)
	e.dict, err = e.trainSparse(ctx, tokens)
	return err
}

// sparseBatch is the batch of the autoencoder.
const sparseBatch = 256

// trainSparse trains a TopK autoencoder on the tokens.
func (e *experiment) trainSparse(ctx context.Context, tokens []float32) (*sae.SAE, error) {
	d := e.lab.Model.Spec.DModel
	cfg := sae.DefaultConfig()
	cfg.DSAE, cfg.K, cfg.Tokens, cfg.Batch, cfg.Seed = e.cfg.Latents, e.cfg.K, e.cfg.Tokens, sparseBatch, uint64(e.cfg.Seed)
	cfg.InitRows, cfg.Engine = min(2048, len(tokens)/d), sae.EngineHost
	cfg, err := cfg.Resolve(d)
	if err != nil {
		return nil, err
	}
	rows, err := sae.NewMemoryRows(tokens, d, uint64(e.cfg.Seed), int(e.cfg.Tokens)/(len(tokens)/d)+2)
	if err != nil {
		return nil, err
	}
	t, err := sae.NewTrainer(e.lab.Backend, cfg, tokens[:cfg.InitRows*d])
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.Train(ctx, rows, sae.TrainOptions{}); err != nil {
		return nil, err
	}
	return t.SAE()
}

// directions fits every method to a concept's training rows.
func (e *experiment) directions(ctx context.Context, of *concept) error {
	x, y := of.train()
	of.detect = map[string][]float64{}
	for method, name := range map[string]string{diffMeans: vectors.MethodDiffOfMeans, pca: vectors.MethodPCA, logistic: vectors.MethodLogistic} {
		f, err := vectors.FitMethod(ctx, name, x, vectors.Labels{Class: y, K: 2}, vectors.DefaultMethodConfig())
		if err != nil {
			return err
		}
		of.detect[method] = mat.Row(nil, 0, f.Directions)
	}
	rng := rand.New(rand.NewPCG(uint64(e.cfg.Seed), 0x6178)) // "ax"
	v := make([]float64, e.lab.Model.Spec.DModel)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	of.detect[random] = v
	for _, method := range []string{pca, random} { // which have no sign of their own
		auc, err := areaUnder(project(x, of.detect[method]), y)
		if err != nil {
			return err
		}
		if auc < 0.5 {
			floats.Scale(-1, of.detect[method])
		}
	}
	cfg := vectors.DefaultLatents()
	cfg.Top, cfg.Seed, cfg.HeldOut = 1, uint64(e.cfg.Seed), 0.1
	top, err := vectors.Latents(ctx, e.dict, x, y, cfg)
	if err != nil {
		return err
	}
	of.detect[latent] = top[0].Encoder
	of.steer = map[string][]float64{}
	for _, m := range methods {
		v := of.detect[m]
		if m == latent {
			v = top[0].Decoder
		}
		if of.steer[m], err = vectors.Unit(v); err != nil {
			return err
		}
	}
	return nil
}

func (of *concept) train() (*mat.Dense, []int) { return of.rows(of.text.Split.Train) }

func (of *concept) rows(index []int) (*mat.Dense, []int) {
	return pick(of.x, index), lab.Take(of.text.Class, index)
}

func pick(x *mat.Dense, index []int) *mat.Dense {
	_, d := x.Dims()
	out := mat.NewDense(len(index), d, nil)
	for i, r := range index {
		out.SetRow(i, x.RawRowView(r))
	}
	return out
}

// fitJudge fits a probe of another model's sentence embeddings.
func (e *experiment) fitJudge(ctx context.Context, of *concept) error {
	x, err := e.judge.Read(ctx, of.text.Texts, []model.Site{{Kind: model.Sentence}}, lab.MeanToken, lab.ReadOptions{})
	if err != nil {
		return err
	}
	train, test := of.text.Split.Train, of.text.Split.Test
	if of.judge, err = vectors.Logistic(ctx, pick(x[0], train), lab.Take(of.text.Class, train), 10); err != nil {
		return err
	}
	scores := project(pick(x[0], test), of.judge.Weights)
	of.judgeAUC, err = stats.AUCNewcombe(scores, positives(lab.Take(of.text.Class, test)), lab.Level)
	return err
}

func positives(y []int) []bool {
	out := make([]bool, len(y))
	for i, c := range y {
		out[i] = c == 1
	}
	return out
}

func project(x *mat.Dense, v []float64) []float64 {
	n, _ := x.Dims()
	out := make([]float64, n)
	for i := range out {
		out[i] = floats.Dot(x.RawRowView(i), v)
	}
	return out
}

func areaUnder(scores []float64, y []int) (float64, error) { return stats.AUC(scores, positives(y)) }

// detect measures how well each direction tells held-out sentences with the concept from their twins.
func (e *experiment) detect(ctx context.Context, s *study.Session) error {
	t := report.Table{Caption: "detection: AUROC on sentences with held-out words and templates, mean over concepts; the interval resamples words", Columns: []report.Column{{Name: "method"}}}
	for _, of := range e.of {
		t.Columns = append(t.Columns, report.Column{Name: of.text.Concept})
	}
	t.Columns = append(t.Columns, report.Column{Name: "mean"})
	for _, m := range methods {
		cells := []any{m}
		var scores []float64
		var y, which, group []int
		for i, of := range e.of {
			x, class := of.rows(of.text.Split.Test)
			got := project(x, of.detect[m])
			one, err := areaUnder(got, class)
			if err != nil {
				return err
			}
			cells = append(cells, one)
			for _, g := range lab.Take(of.text.Group, of.text.Split.Test) {
				which, group = append(which, i), append(group, g)
			}
			scores, y = append(scores, got...), append(y, class...)
		}
		mean, err := stats.BootstrapClusters(ctx, group, func(index []int) float64 { return meanAUC(scores, y, which, len(e.of), index) }, lab.Bootstrap(e.cfg.Seed))
		if err != nil {
			return err
		}
		s.Interval("detect."+names[m], mean.Interval)
		t.Rows = append(t.Rows, append(cells, lab.Cell(mean.Interval)))
	}
	s.Table("detection", t)
	return nil
}

// meanAUC is the mean over concepts of the area under the curve of the chosen rows; a concept without both classes counts 0.5.
func meanAUC(scores []float64, y, which []int, concepts int, index []int) float64 {
	sum := 0.0
	for c := range concepts {
		var part []float64
		var class []int
		for _, i := range index {
			if which[i] == c {
				part, class = append(part, scores[i]), append(class, y[i])
			}
		}
		if got, err := areaUnder(part, class); err == nil {
			sum += got
		} else {
			sum += 0.5
		}
	}
	return sum / float64(concepts)
}

// harmonic is the harmonic mean of scores from 0 to 2; 0 when one is.
func harmonic(a, b float64) float64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	return 2 * a * b / (a + b)
}

// chooseBest is the index of the largest mean of the first n scores of each list.
func chooseBest(scores [][]float64, n int) int {
	best, at := math.Inf(-1), 0
	for i, s := range scores {
		if m := floats.Sum(s[:n]); m > best {
			best, at = m, i
		}
	}
	return at
}
