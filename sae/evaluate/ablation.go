package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"

	"loupe/internal/stats"
	"loupe/probe/text"
	"loupe/sae"
)

// ablatedLatents are the numbers of latents that SCR and TPP ablate.
var ablatedLatents = []int{5, 20}

// AblationDetail is one task of SCR.
type AblationDetail struct {
	Task string `json:"task"`
	sae.SCRReport
}

// SCR measures spurious correlation removal (sae.MeasureSCR) on texts about two concepts each: a sentence with or without the
// first, and then one with or without the second. See sae.AblationScoresOff for why it is off by default.
func (b *Bench) SCR(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	o := &Outcome{Suite: "scr", Notes: []string{sae.AblationScoresOff}}
	for _, n := range ablatedLatents {
		o.Metrics = append(o.Metrics, Metric{Name: fmt.Sprintf("scr_%d", n), Better: Higher})
	}
	tasks, err := b.spuriousTasks()
	if err != nil {
		return nil, err
	}
	details := map[*Dictionary][]AblationDetail{}
	values := map[*Dictionary]map[string][]float64{}
	err = b.pooledTasks(ctx, o, dicts, len(tasks), func(i int) []string { return tasks[i].texts },
		func(d *Dictionary, i int, x []float64, acts *sae.Sparse) error {
			t := tasks[i]
			for _, n := range ablatedLatents {
				r, err := sae.MeasureSCR(ctx, x, acts, wide(d.Decoder), t.target, t.spurious, n, t.share)
				if err != nil {
					return err
				}
				details[d] = append(details[d], AblationDetail{t.name, r})
				add(values, d, fmt.Sprintf("scr_%d", n), r.Score)
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	o.On = fmt.Sprintf("%d generated pairs of concepts; intervals over pairs", len(tasks))
	return o, b.addMeans(ctx, o, dicts, values, func(d *Dictionary) any { return details[d] })
}

// TPP measures targeted probe perturbation (sae.MeasureTPP) on sentences about the built-in concepts. See
// sae.AblationScoresOff for why it is off by default.
func (b *Bench) TPP(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	o := &Outcome{Suite: "tpp", Notes: []string{sae.AblationScoresOff}}
	for _, n := range ablatedLatents {
		o.Metrics = append(o.Metrics, Metric{Name: fmt.Sprintf("tpp_%d", n), Better: Higher}, Metric{Name: fmt.Sprintf("intended_%d", n)}, Metric{Name: fmt.Sprintf("unintended_%d", n)})
	}
	texts, class, k, share, err := b.classTexts()
	if err != nil {
		return nil, err
	}
	values := map[*Dictionary]map[string][]float64{}
	err = b.pooledTasks(ctx, o, dicts, 1, func(int) []string { return texts },
		func(d *Dictionary, _ int, x []float64, acts *sae.Sparse) error {
			for _, n := range ablatedLatents {
				r, err := sae.MeasureTPP(ctx, x, acts, wide(d.Decoder), class, k, n, share)
				if err != nil {
					return err
				}
				for name, v := range map[string]float64{"tpp": r.TPP, "intended": r.Intended, "unintended": r.Unintended} {
					add(values, d, fmt.Sprintf("%s_%d", name, n), v)
				}
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	o.On = fmt.Sprintf("%d sentences about %d concepts; one table of accuracies, without an interval", len(texts), k)
	return o, b.addMeans(ctx, o, dicts, values, func(*Dictionary) any { return nil })
}

func add(values map[*Dictionary]map[string][]float64, d *Dictionary, name string, v float64) {
	if values[d] == nil {
		values[d] = map[string][]float64{}
	}
	values[d][name] = append(values[d][name], v)
}

// addMeans adds a score of the means of values for each dictionary that has them.
func (b *Bench) addMeans(ctx context.Context, o *Outcome, dicts []*Dictionary, values map[*Dictionary]map[string][]float64, detail func(*Dictionary) any) error {
	for _, d := range dicts {
		if values[d] == nil {
			continue
		}
		s := Score{Dictionary: d.Name, Values: map[string]stats.Interval{}, Detail: detail(d)}
		for name, v := range values[d] {
			mean, err := sae.MeanInterval(ctx, v, b.Boot)
			if err != nil {
				return fmt.Errorf("evaluate: %s: %w", d.Name, err)
			}
			s.Values[name] = mean
		}
		o.Scores = append(o.Scores, s)
	}
	return nil
}

// pooledTasks calls visit for every task and dictionary with the activations and latents averaged over each text. Dictionaries
// that do not write what they read are left out.
func (b *Bench) pooledTasks(ctx context.Context, o *Outcome, dicts []*Dictionary, tasks int, texts func(task int) []string,
	visit func(d *Dictionary, task int, x []float64, acts *sae.Sparse) error,
) error {
	if b.Subject == nil {
		return errNoModel
	}
	keys, members := bySites(dicts)
	bar := b.progress(o.Suite, "tasks", int64(tasks*len(keys)))
	defer bar.Done()
	for _, key := range keys {
		if key.write != "" {
			for _, d := range members[key] {
				o.leaveOut(d, "its latents write another site than the probes read")
			}
			continue
		}
		for i := range tasks {
			list := texts(i)
			x, group, err := b.textRows(ctx, key, list)
			if err != nil {
				return err
			}
			width := len(x) / len(group)
			mean := meanRows(x, group, len(list), width)
			for _, d := range members[key] {
				acts, err := pool(ctx, d, x, group, len(list))
				if err != nil {
					return err
				}
				if err := visit(d, i, mean, acts); err != nil {
					return fmt.Errorf("evaluate: %s: %w", d.Name, err)
				}
			}
			bar.Add(1)
		}
	}
	o.noteModel(b)
	return nil
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// spuriousTask is texts with two concepts; the first share of them are for training.
type spuriousTask struct {
	name             string
	texts            []string
	target, spurious []bool
	share            float64
}

// spuriousPairs is the number of pairs of concepts.
const spuriousPairs = 4

// spuriousTasks pairs concepts of the built-in suite by the seed.
func (b *Bench) spuriousTasks() ([]spuriousTask, error) {
	sentences, concepts, err := b.conceptPairs()
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(b.Seed, 0x736372))
	order := rng.Perm(len(concepts))
	var out []spuriousTask
	for p := range min(spuriousPairs, len(concepts)/2) {
		one, two := concepts[order[2*p]], concepts[order[2*p+1]]
		t := spuriousTask{name: one + " with " + two}
		train := 0
		for _, split := range []string{text.Train, text.HeldOut} {
			a, c := sentences[one][split], sentences[two][split]
			n := min(len(a), len(c))
			from := len(t.texts)
			for i := range n {
				for _, has := range []bool{true, false} {
					for _, also := range []bool{true, false} {
						t.texts = append(t.texts, a[i].text(has)+" "+c[i].text(also))
						t.target, t.spurious = append(t.target, has), append(t.spurious, also)
					}
				}
			}
			rng.Shuffle(4*n, func(i, j int) {
				i, j = from+i, from+j
				t.texts[i], t.texts[j] = t.texts[j], t.texts[i]
				t.target[i], t.target[j] = t.target[j], t.target[i]
				t.spurious[i], t.spurious[j] = t.spurious[j], t.spurious[i]
			})
			if split == text.Train {
				train = len(t.texts)
			}
		}
		t.share = (float64(train) + 0.5) / float64(len(t.texts))
		out = append(out, t)
	}
	return out, nil
}

// twins are a sentence with a concept and its match without it.
type twins struct{ with, without string }

func (t twins) text(has bool) string {
	if has {
		return t.with
	}
	return t.without
}

// conceptPairs generates matched sentences of each concept and split.
func (b *Bench) conceptPairs() (map[string]map[string][]twins, []string, error) {
	suite, err := text.NewSuite()
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate: %w", err)
	}
	cfg := text.DefaultGenerateConfig()
	cfg.Seed, cfg.Train, cfg.HeldOut = int64(b.Seed), b.ProbePairs, max(2, b.ProbePairs/2)
	sentences, err := suite.Generate(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate: %w", err)
	}
	out := map[string]map[string][]twins{}
	for i := 0; i+1 < len(sentences); i += 2 { // a positive is followed by its negative
		p, n := sentences[i], sentences[i+1]
		if out[p.Concept] == nil {
			out[p.Concept] = map[string][]twins{}
		}
		out[p.Concept][p.Split] = append(out[p.Concept][p.Split], twins{p.Text, n.Text})
	}
	return out, suite.Concepts(), nil
}

// classTexts are the positive sentences of each concept, in random order, the training ones first.
func (b *Bench) classTexts() (texts []string, class []int, k int, share float64, err error) {
	sentences, concepts, err := b.conceptPairs()
	if err != nil {
		return nil, nil, 0, 0, err
	}
	rng := rand.New(rand.NewPCG(b.Seed, 0x747070))
	train := 0
	for _, split := range []string{text.Train, text.HeldOut} {
		from := len(texts)
		for i, c := range concepts {
			for _, t := range sentences[c][split] {
				texts, class = append(texts, t.with), append(class, i)
			}
		}
		rng.Shuffle(len(texts)-from, func(i, j int) {
			i, j = from+i, from+j
			texts[i], texts[j], class[i], class[j] = texts[j], texts[i], class[j], class[i]
		})
		if split == text.Train {
			train = len(texts)
		}
	}
	return texts, class, len(concepts), (float64(train) + 0.5) / float64(len(texts)), nil
}
