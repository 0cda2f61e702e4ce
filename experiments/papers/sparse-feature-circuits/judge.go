package sparsefeaturecircuits

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"loupe/circuits"
	"loupe/circuits/features"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/store"
)

// contender is a way to write the sites, with its nodes by falling effect.
type contender struct {
	name         string
	dictionaries []*features.Dictionary
	nodes        []features.Node
}

// judge measures circuits of rising size on prompts that they were not found on; what is outside takes its mean over prompts at its position.
func judge(ctx context.Context, s *study.Session, c *Config, t *circuits.Task, all []contender) error {
	table := report.Table{Caption: fmt.Sprintf("Circuits on %d other prompts, 95 %% intervals over prompts; outside the circuit: mean at the position; errors are nodes", c.Rows), Columns: []report.Column{
		{Name: "nodes"}}}
	rows := make([][]any, len(c.Sizes))
	for i, n := range c.Sizes {
		rows[i] = []any{n}
	}
	for _, x := range all {
		table.Columns = append(table.Columns, report.Column{Name: x.name + ", faithfulness"}, report.Column{Name: x.name + ", completeness"})
		code, err := features.Encode(ctx, t, x.dictionaries)
		if err != nil {
			return err
		}
		var sizes []int
		for _, n := range c.Sizes {
			sizes = append(sizes, min(n, len(x.nodes)))
		}
		found, err := code.Judge(ctx, x.nodes, sizes, features.Judge{Ablation: features.MeanPositional, Errors: features.ErrorsAsNodes})
		if err != nil {
			return err
		}
		enough := math.Inf(1)
		for i, j := range found {
			full := make([]float64, len(t.CleanLoss))
			for r, loss := range t.CleanLoss {
				full[r] = -loss - j.EmptyRows[r]
			}
			faithful, err := ratio(ctx, lab.Minus(j.FaithfulRows, j.EmptyRows), full, c.Seed)
			if err != nil {
				return err
			}
			complete, err := ratio(ctx, lab.Minus(j.CompleteRows, j.EmptyRows), full, c.Seed)
			if err != nil {
				return err
			}
			s.Interval(fmt.Sprintf("%s.faithful_%d", x.name, c.Sizes[i]), faithful)
			s.Interval(fmt.Sprintf("%s.complete_%d", x.name, c.Sizes[i]), complete)
			if faithful.Value >= c.Enough {
				enough = min(enough, float64(sizes[i]))
			}
			rows[i] = append(rows[i], lab.Cell(faithful), lab.Cell(complete))
		}
		if math.IsInf(enough, 1) {
			enough = float64(len(x.nodes)) // none of the sizes is enough
		}
		s.Value(x.name+".enough", enough)
		s.Text("%s: %d nodes have an effect; the smallest circuit tried whose faithfulness is %.2f, or else all of them, has %.0f.", x.name, len(x.nodes), c.Enough, enough)
	}
	table.Rows = rows
	s.Table("circuits", table)
	return nil
}

// exact patches features of one site and compares what that does with their attributions, summed over positions.
func exact(ctx context.Context, s *study.Session, c *Config, t *circuits.Task, coder Coder, ig, atp *features.Effects) error {
	site := model.Site{Kind: model.ResidPre, Layer: c.Layers[len(c.Layers)/2]}
	p := circuits.Parts{Site: site, Directions: coder.SAE.WDec}
	for i, ids := range [][]int32{t.Pairs.Clean, t.Pairs.Corrupted} {
		values, err := t.CaptureSites(ctx, ids, []model.Site{site})
		if err != nil {
			return err
		}
		l, err := coder.SAE.Encode(values[site])
		if err != nil {
			return err
		}
		dense := make([]float32, l.Rows()*coder.SAE.DSAE)
		for r := range l.Rows() {
			index, value := l.Row(r)
			for k, f := range index {
				dense[r*coder.SAE.DSAE+int(f)] = value[k]
			}
		}
		if i == 0 {
			p.Clean = dense
		} else {
			p.Corrupted = dense
		}
	}
	var patches []circuits.PartPatch
	var byIG []float64
	byAtP := map[int]float64{}
	for _, n := range atp.Nodes(false) {
		byAtP[n.Feature] += onSite(n, site)
	}
	for _, n := range ig.Nodes(false) {
		if n.Site == site && n.Feature != features.ErrorFeature && len(patches) < c.Exact {
			patches = append(patches, circuits.PartPatch{Part: n.Feature, Position: -1})
			byIG = append(byIG, n.Effect)
		}
	}
	measured, err := circuits.PatchParts(ctx, t, p, patches)
	if err != nil {
		return err
	}
	truth, first := make([]float64, len(patches)), make([]float64, len(patches))
	for i, rows := range measured {
		for _, v := range rows {
			truth[i] += v / float64(len(rows))
		}
		first[i] = byAtP[patches[i].Part]
	}
	table := report.Table{Caption: fmt.Sprintf("Attributions of %d features of %s against patching each (95 %% intervals over features)", len(patches), site), Columns: []report.Column{{Name: "method"}, {Name: "Pearson"}, {Name: "slope"}}}
	for _, m := range []struct {
		name string
		x    []float64
	}{{"atp", first}, {"ig", byIG}} {
		var cells []any
		for _, of := range []struct {
			name string
			f    func(x, y []float64) float64
		}{{"pearson", pearson}, {"slope", slope}} {
			r, err := stats.BootstrapClusters(ctx, lab.UpTo(len(truth)), func(index []int) float64 {
				var x, y []float64
				for _, i := range index {
					x, y = append(x, m.x[i]), append(y, truth[i])
				}
				return of.f(x, y)
			}, lab.Bootstrap(c.Seed))
			if err != nil {
				return err
			}
			s.Interval(m.name+"."+of.name, r.Interval)
			cells = append(cells, lab.Cell(r.Interval))
		}
		table.Rows = append(table.Rows, append([]any{m.name}, cells...))
	}
	s.Table("exact", table)
	return nil
}

// onSite is the effect of a node of the site, 0 of others.
func onSite(n features.Node, site model.Site) float64 {
	if n.Site != site {
		return 0
	}
	return n.Effect
}

func pearson(x, y []float64) float64 {
	r, err := stats.Pearson(x, y)
	if err != nil { // a resample of one feature alone has no correlation
		return 0
	}
	return r.R
}

// slope is that of the line through 0 from attributed to measured effects.
func slope(x, y []float64) float64 {
	var xy, xx float64
	for i := range x {
		xy, xx = xy+x[i]*y[i], xx+x[i]*x[i]
	}
	if xx == 0 {
		return 0
	}
	return xy / xx
}

// explainRows bounds the rows of text that features are shown on.
const explainRows = 4000

// explain shows the tokens of the text on which the largest features are on most.
func explain(ctx context.Context, s *study.Session, c *Config, l *lab.Lab, st *store.Store, coders []Coder, nodes []features.Node) error {
	table := report.Table{Caption: fmt.Sprintf("The features of the largest effect, and the tokens that turn them on most (activations summed over %d tokens of the documentation)", explainRows), Columns: []report.Column{
		{Name: "feature"}, {Name: "effect (logits)"}, {Name: "on (share of tokens)"}, {Name: "tokens"}}}
	var shown []features.Node
	for _, n := range nodes {
		if n.Feature != features.ErrorFeature && len(shown) < c.Explain {
			shown = append(shown, n)
		}
	}
	sums, on, rows := make([]map[int32]float64, len(shown)), make([]float64, len(shown)), make([]float64, len(coders))
	for k, coder := range coders {
		if !slices.ContainsFunc(shown, func(n features.Node) bool { return n.Site.Layer == c.Layers[k] }) {
			continue
		}
		err := st.Scan(ctx, []string{coder.Site}, func(chunk store.Chunk) error {
			take := min(len(chunk.Token), explainRows-int(rows[k]))
			if take <= 0 {
				return nil
			}
			rows[k] += float64(take)
			x, err := coder.SAE.Encode(chunk.Sites[0][:take*coder.SAE.DIn])
			if err != nil {
				return err
			}
			for r := range take {
				index, value := x.Row(r)
				for j, f := range index {
					at := slices.IndexFunc(shown, func(n features.Node) bool { return n.Site.Layer == c.Layers[k] && n.Feature == int(f) })
					if at < 0 || value[j] <= 0 {
						continue
					}
					if sums[at] == nil {
						sums[at] = map[int32]float64{}
					}
					on[at]++
					sums[at][chunk.Token[r]] += float64(value[j])
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for at, n := range shown {
		ids := slices.SortedFunc(maps.Keys(sums[at]), func(a, b int32) int { return cmp.Or(cmp.Compare(sums[at][b], sums[at][a]), cmp.Compare(a, b)) })
		var words []string
		for _, id := range ids[:min(8, len(ids))] {
			w, err := l.Tokenizer.Decode([]int32{id}, false)
			if err != nil {
				return err
			}
			words = append(words, fmt.Sprintf("%q", w))
		}
		i, err := lab.MeanOver(ctx, n.PerRow, lab.UpTo(len(n.PerRow)), c.Seed)
		if err != nil {
			return err
		}
		table.Rows = append(table.Rows, []any{n.Name(), lab.Cell(i), on[at] / rows[slices.Index(c.Layers, n.Site.Layer)], strings.Join(words, " ")})
	}
	s.Table("features", table)
	return nil
}
