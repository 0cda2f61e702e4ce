package tracing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// attribute computes the rows of the graph: all of them, or the logits' and then, batch after batch, those of the features that have most
// influence on the logits by the rows that are there.
func (r *Run) attribute(ctx context.Context, cfg Config) error {
	g := r.Graph
	features := min(len(r.all), cfg.MaxFeatures)
	rows, columns := features+len(g.Logits), len(r.all)+len(g.Errors)+len(g.Tokens)
	if need := int64(rows) * int64(columns) * 8; need > cfg.MaxBytes {
		return fmt.Errorf("tracing: %d targets and %d sources need %d bytes, above max_bytes = %d; lower max_features, shorten the prompt or use a sparser dictionary", rows, columns, need, cfg.MaxBytes)
	}
	a := make([]float64, rows*columns)
	var targets []target
	var bias []float64
	last := len(g.Tokens) - 1
	for _, l := range g.Logits {
		targets = append(targets, target{layer: g.Layers, position: last, direction: r.tracer.direction(int(l.Token)), row: len(targets)})
		bias = append(bias, 0)
	}
	r.kept = nil
	from := r.sourceTable()
	grow := func(add []int) error {
		begin := len(targets)
		for _, i := range add {
			f := r.all[i]
			w, b := r.tracer.dict.encoder(f.Layer, f.Index)
			targets = append(targets, target{f.Layer, f.Position, w, len(targets)})
			bias = append(bias, b)
			r.kept = append(r.kept, i)
		}
		return r.batches(ctx, targets[begin:], from, cfg.Batch, func(row, column int, v float64) { a[row*columns+column] += v })
	}
	if err := r.batches(ctx, targets, from, cfg.Batch, func(row, column int, v float64) { a[row*columns+column] += v }); err != nil {
		return err
	}
	if features == len(r.all) {
		every := make([]int, features)
		for i := range every {
			every[i] = i
		}
		if err := grow(every); err != nil {
			return err
		}
	}
	const step = 4 // batches between two rankings, as in circuit-tracer
	for len(r.kept) < features {
		next, err := r.influential(a, columns, min(step*cfg.Batch, features-len(r.kept)))
		if err != nil {
			return err
		}
		if err := grow(next); err != nil {
			return err
		}
	}
	r.arrange(a, columns, targets, bias)
	return nil
}

// influential are the n features without a row of most influence on the logits, by the rows a [logits and kept features, columns].
func (r *Run) influential(a []float64, columns, n int) ([]int, error) {
	logits := len(r.Graph.Logits)
	rows := logits + len(r.kept)
	node := make([]int, rows)
	weight := make([]float64, rows)
	for i := range node {
		node[i] = columns // of logits: no column
		if i >= logits {
			node[i] = r.kept[i-logits]
		} else {
			weight[i] = r.Graph.Logits[i].Probability
		}
	}
	normalised := slices.Clone(a[:rows*columns])
	normaliseRows(normalised, columns)
	score, err := influence(normalised, node, columns, weight)
	if err != nil {
		return nil, err
	}
	seen := make([]bool, len(r.all))
	for _, i := range r.kept {
		seen[i] = true
	}
	var left []int
	for i := range r.all {
		if !seen[i] {
			left = append(left, i)
		}
	}
	slices.SortStableFunc(left, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
	return left[:n], nil
}

// arrange puts the rows in the graph's order and leaves out the columns of features without a row.
func (r *Run) arrange(a []float64, columns int, targets []target, bias []float64) {
	g, logits := r.Graph, len(r.Graph.Logits)
	order := make([]int, len(r.kept)) // of the features' rows
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Compare(r.kept[x], r.kept[y]) })
	slices.Sort(r.kept)
	for _, i := range r.kept {
		g.Features = append(g.Features, r.all[i])
	}
	from := make([]int, 0, len(targets))
	for _, i := range order {
		from = append(from, logits+i)
	}
	for i := range logits {
		from = append(from, i)
	}
	g.A = make([]float64, 0, len(from)*g.Columns())
	r.targets, r.bias = nil, nil
	for _, i := range from {
		row := a[i*columns : (i+1)*columns]
		for _, f := range r.kept {
			g.A = append(g.A, row[f])
		}
		g.A = append(g.A, row[len(r.all):]...)
		r.targets, r.bias = append(r.targets, targets[i]), append(r.bias, bias[i])
	}
}

// batches takes targets through the frozen model, those of one position together: a target depends on no later one.
func (r *Run) batches(ctx context.Context, targets []target, from sourceTable, size int, emit func(row, column int, v float64)) error {
	sorted := slices.Clone(targets)
	slices.SortStableFunc(sorted, func(a, b target) int {
		return cmp.Or(cmp.Compare(a.position, b.position), cmp.Compare(b.layer, a.layer))
	})
	for len(sorted) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := 1
		for n < min(size, len(sorted)) && sorted[n].position == sorted[0].position {
			n++
		}
		b := backward{frozen: r.frozen, targets: sorted[:n], last: sorted[0].position, sources: from.at, tokens: from.tokens, emit: emit}
		b.run()
		sorted = sorted[n:]
	}
	return nil
}

// sourceTable finds the sources of a site.
type sourceTable struct {
	r     *Run
	at    func(l, p int) sources
	place map[[2]int][]int // features by layer and position
	errs  map[[2]int]int   // errors likewise
}

// sourceTable makes it. Vectors are made when they are asked for: all of them at once would be larger than the graph.
func (r *Run) sourceTable() sourceTable {
	t := sourceTable{r: r, place: map[[2]int][]int{}, errs: map[[2]int]int{}}
	for i, f := range r.all {
		key := [2]int{f.Layer, f.Position}
		t.place[key] = append(t.place[key], i)
	}
	for i, e := range r.Graph.Errors {
		t.errs[[2]int{e.Layer, e.Position}] = len(r.all) + i
	}
	d := r.tracer.dict
	t.at = func(l, p int) sources {
		var out sources
		for from := range l + 1 {
			if d.last(from) < l {
				continue
			}
			for _, i := range t.place[[2]int{from, p}] {
				v := make([]float64, d.d)
				d.addDecoder(v, from, r.all[i].Index, l, r.all[i].Activation)
				out.columns, out.vectors = append(out.columns, i), append(out.vectors, v...)
			}
		}
		if e, ok := t.errs[[2]int{l, p}]; ok {
			out.columns, out.vectors = append(out.columns, e), append(out.vectors, r.Errors[l][p*d.d:(p+1)*d.d]...)
		}
		return out
	}
	return t
}

func (t sourceTable) tokens(p int) sources {
	d := t.r.tracer.dict.d
	return sources{[]int{len(t.r.all) + len(t.r.Graph.Errors) + p}, t.r.embed[p*d : (p+1)*d]}
}
