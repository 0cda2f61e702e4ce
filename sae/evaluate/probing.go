package evaluate

import (
	"context"
	"fmt"

	"loupe/internal/stats"
	"loupe/probe/text"
	"loupe/sae"
)

// probedLatents are the numbers of latents that probes read; 0 stands for all.
var probedLatents = []int{1, 2, 5, 0}

// probeTask is a binary task over texts: the first share of them are for training.
type probeTask struct {
	name     string
	positive []bool
	share    float64
	// rows returns what the sites hold on the texts' tokens, [n, d_in], and the text of each row, -1 for special tokens.
	rows func(ctx context.Context, sites siteKey) (x []float32, text []int, err error)
}

// ProbingDetail is one task's probes on a dictionary.
type ProbingDetail struct {
	Task string `json:"task"`
	sae.ProbeReport
}

// Probing asks how well few latents, averaged over a text's tokens, tell concepts (sae.SparseProbe), on the bench's probing sets:
// those given, else the built-in concepts, else, without a model, the labels of the store's documents. The activations
// themselves are the baseline: their best coordinates, and all of them.
func (b *Bench) Probing(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	tasks, on, err := b.probeTasks(ctx)
	if err != nil {
		return nil, err
	}
	o := &Outcome{Suite: "probing", On: on, Metrics: []Metric{
		{Name: "auc_1", Better: Higher}, {Name: "auc_2", Better: Higher, Hidden: true}, {Name: "auc_5", Better: Higher}, {Name: "auc_all", Better: Higher},
		{Name: "accuracy_1", Better: Higher}, {Name: "accuracy_2", Better: Higher, Hidden: true}, {Name: "accuracy_5", Better: Higher}, {Name: "accuracy_all", Better: Higher},
	}}
	keys, members := bySites(dicts)
	bar := b.progress("probing", "tasks", int64(len(tasks)*len(keys)))
	defer bar.Done()
	details := map[*Dictionary][]ProbingDetail{}
	var dense []*Dictionary
	for _, key := range keys {
		name := "activations"
		if len(keys) > 1 {
			name += " of " + key.read
		}
		d := baseline(BaselineDense, name)
		dense = append(dense, d)
		for _, task := range tasks {
			x, group, err := task.rows(ctx, key)
			if err != nil {
				return nil, err
			}
			for _, member := range append(members[key], d) {
				r, err := probe(ctx, member, x, group, task, b.Boot.Level)
				if err != nil {
					return nil, fmt.Errorf("evaluate: %s: task %s: %w", member.Name, task.name, err)
				}
				details[member] = append(details[member], ProbingDetail{task.name, r})
			}
			bar.Add(1)
		}
	}
	for _, d := range dicts {
		values, err := b.probingValues(ctx, details[d])
		if err != nil {
			return nil, err
		}
		o.Scores = append(o.Scores, Score{Dictionary: d.Name, Values: values, Detail: details[d]})
	}
	for _, d := range dense {
		values, err := b.probingValues(ctx, details[d])
		if err != nil {
			return nil, err
		}
		o.addBaseline(d, values)
	}
	if b.Subject != nil {
		o.noteModel(b)
	}
	return o, nil
}

// probe fits a task's probes on a dictionary's pooled latents or, for the baseline, on the pooled activations.
func probe(ctx context.Context, d *Dictionary, x []float32, group []int, task probeTask, level float64) (sae.ProbeReport, error) {
	pooled, err := pool(ctx, d, x, group, len(task.positive))
	if err != nil {
		return sae.ProbeReport{}, err
	}
	cfg := sae.DefaultProbeConfig()
	cfg.K, cfg.TrainShare, cfg.Level = probedLatents, task.share, level
	return sae.SparseProbe(ctx, pooled, task.positive, cfg)
}

// pool averages a dictionary's latents, or the activations where it has none, over the rows of each of n texts.
func pool(ctx context.Context, d *Dictionary, x []float32, group []int, n int) (*sae.Sparse, error) {
	if d.reconstruct != nil {
		lat, err := d.encode(ctx, x)
		if err != nil {
			return nil, err
		}
		return sae.PoolLatents(lat, d.Latents, group, n)
	}
	width := len(x) / len(group)
	return sae.SparseOf(meanRows(x, group, n, width), width)
}

// meanRows averages the rows of x, [len(group), width], over each of n groups; rows of group -1 are left out.
func meanRows(x []float32, group []int, n, width int) []float64 {
	out, count := make([]float64, n*width), make([]float64, n)
	for _, g := range group {
		if g >= 0 {
			count[g]++
		}
	}
	for r, g := range group {
		if g < 0 {
			continue
		}
		for j, v := range x[r*width : (r+1)*width] {
			out[g*width+j] += float64(v) / count[g]
		}
	}
	return out
}

// probingValues are the means over tasks, with intervals over them.
func (b *Bench) probingValues(ctx context.Context, details []ProbingDetail) (map[string]stats.Interval, error) {
	out := map[string]stats.Interval{}
	for i, k := range probedLatents {
		name := fmt.Sprint(k)
		if k == 0 {
			name = "all"
		}
		var auc, accuracy []float64
		for _, d := range details {
			auc, accuracy = append(auc, d.Scores[i].AUC.Value), append(accuracy, d.Scores[i].Accuracy.Value)
		}
		for metric, values := range map[string][]float64{"auc_": auc, "accuracy_": accuracy} {
			mean, err := sae.MeanInterval(ctx, values, b.Boot)
			if err != nil {
				return nil, err
			}
			out[metric+name] = mean
		}
	}
	return out, nil
}

// probeTasks chooses the tasks.
func (b *Bench) probeTasks(ctx context.Context) ([]probeTask, string, error) {
	if b.Subject == nil {
		tasks, err := b.storeTasks(ctx)
		return tasks, fmt.Sprintf("%d tasks from the labels of the store's documents; intervals over tasks", len(tasks)), err
	}
	sets, what := b.ProbeSets, "tasks"
	if sets == nil {
		suite, err := text.NewSuite()
		if err != nil {
			return nil, "", fmt.Errorf("evaluate: %w", err)
		}
		if sets, err = sae.GeneratedProbeSets(suite, int64(b.Seed), b.ProbePairs, max(2, b.ProbePairs/2)); err != nil {
			return nil, "", err
		}
		what = "generated tasks, with other words and templates for testing"
	}
	var out []probeTask
	for _, s := range sets {
		out = append(out, probeTask{
			name: s.Name, positive: s.Positive, share: s.TrainShare,
			rows: func(ctx context.Context, sites siteKey) ([]float32, []int, error) {
				return b.textRows(ctx, sites, s.Texts)
			},
		})
	}
	return out, fmt.Sprintf("%d %s; intervals over tasks", len(out), what), nil
}

// textRows runs texts through the model and returns what the sites hold, with the text of each row; -1 for special tokens and
// for what the bench's selection leaves out by position or token.
func (b *Bench) textRows(ctx context.Context, sites siteKey, texts []string) ([]float32, []int, error) {
	a, err := b.Subject.joint(ctx, sites, texts)
	if err != nil {
		return nil, nil, err
	}
	groups := a.Groups()
	for i := range a.Texts() {
		for r := a.Start[i]; r < a.Start[i+1]; r++ {
			if !b.Select.Takes(int32(r-a.Start[i]), a.Token[r], a.Special[r]) {
				groups[r] = -1
			}
		}
	}
	return a.X, groups, nil
}
