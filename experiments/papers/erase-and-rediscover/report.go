package eraseandrediscover

import (
	"context"
	"fmt"
	"io"
	"strings"

	"loupe/circuits"
	"loupe/circuits/view"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// ratio is the sum of over by that of under, with an interval over rows.
func ratio(ctx context.Context, over, under []float64, seed int64) (stats.Interval, error) {
	r, err := stats.BootstrapClusters(ctx, lab.UpTo(len(over)), func(index []int) float64 {
		var a, b float64
		for _, i := range index {
			a, b = a+over[i], b+under[i]
		}
		return a / b
	}, lab.Bootstrap(seed))
	return r.Interval, err
}

// carried is what each circuit gives back of each row's loss, m(empty) - m(C), and what the whole model does.
func carried(ctx context.Context, f *found, all ...*circuits.Circuit) (by [][]float64, whole []float64, err error) {
	losses, err := f.task.Evaluate(ctx, f.ref, append([]*circuits.Circuit{circuits.NewCircuit(f.task.Graph)}, all...)...)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range losses[1:] {
		by = append(by, lab.Minus(losses[0], l))
	}
	return by, lab.Minus(losses[0], f.task.CleanLoss), nil
}

func tell(ctx context.Context, s *study.Session, c *Config, all []*found, probes *left) error {
	before := all[0]
	cell := func(name string, i stats.Interval, err error) (any, error) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.Interval(name, i)
		return lab.Cell(i), nil
	}
	behaviour := report.Table{Caption: fmt.Sprintf("Behaviour and circuits of %d edges, %d prompts, 95 %% intervals over prompts; what is carried is a share of the effect before", c.Edges, len(before.effect)), Columns: []report.Column{
		{Name: "variant"}, {Name: "stream moved"}, {Name: "right"}, {Name: "effect (logits)"}, {Name: "effect kept"}, {Name: "edges"}, {Name: "faithfulness"},
		{Name: "circuit carries"}, {Name: "the circuit before carries"}}}
	moved := report.Table{Caption: fmt.Sprintf("Rerouting: circuits of %d resamples of the prompts; null: circuits of the same sizes drawn at random", c.Resamples), Columns: []report.Column{
		{Name: "variant"}, {Name: "Jaccard with before"}, {Name: "floor"}, {Name: "beyond the floor"}, {Name: "null"}, {Name: "null, equal degrees"}, {Name: "gained"}, {Name: "lost"}, {Name: "backup heads"}}}
	for _, f := range all {
		right := make([]float64, len(f.effect))
		for i, l := range f.task.CleanLoss {
			if l < 0 {
				right[i] = 1
			}
		}
		by, whole, err := carried(ctx, f, f.circuit, before.circuit)
		if err != nil {
			return err
		}
		row := []any{f.name, f.moved}
		add := func(name string, i stats.Interval, err error) error {
			x, err := cell(f.name+"."+name, i, err)
			row = append(row, x)
			return err
		}
		mean := func(x []float64) (stats.Interval, error) { return lab.MeanOver(ctx, x, lab.UpTo(len(x)), c.Seed) }
		share := func(x, of []float64) (stats.Interval, error) { return ratio(ctx, x, of, c.Seed) }
		for _, step := range []struct {
			name string
			of   func() (stats.Interval, error)
		}{
			{"right", func() (stats.Interval, error) { return mean(right) }},
			{"effect", func() (stats.Interval, error) { return mean(f.effect) }},
			{"kept", func() (stats.Interval, error) { return share(f.effect, before.effect) }},
			{"", nil},
			{"faithfulness", func() (stats.Interval, error) { return share(by[0], whole) }},
			{"carried", func() (stats.Interval, error) { return share(by[0], before.effect) }},
			{"carried_by_old", func() (stats.Interval, error) { return share(by[1], before.effect) }},
		} {
			if step.of == nil {
				row = append(row, f.circuit.Len())
				continue
			}
			i, err := step.of()
			if err := add(step.name, i, err); err != nil {
				return err
			}
		}
		behaviour.Rows = append(behaviour.Rows, row)
		if f == before {
			continue
		}
		r, err := compare(before, f, c)
		if err != nil {
			return err
		}
		heads, err := backups(ctx, before, f, c.Seed)
		if err != nil {
			return err
		}
		s.Interval(f.name+".jaccard", r.cross)
		s.Interval(f.name+".floor", r.floor)
		s.Interval(f.name+".gap", r.gap)
		s.Value(f.name+".gained", float64(len(r.gained)))
		s.Value(f.name+".lost", float64(len(r.lost)))
		s.Value(f.name+".backups", float64(len(heads)))
		s.Value(f.name+".null_z", r.overlap.Degrees.Z)
		moved.Rows = append(moved.Rows, []any{f.name, lab.Cell(r.cross), lab.Cell(r.floor), lab.Cell(r.gap), r.overlap.Size.Expected, r.overlap.Degrees.Expected, len(r.gained), len(r.lost), len(heads)})
		s.Text("%s gained %s; lost %s.", f.name, names(c.Layer, before, r.gained), names(c.Layer, before, r.lost))
		if err := confirm(ctx, s, c, before, f, heads); err != nil {
			return err
		}
		if err := picture(s, f); err != nil {
			return err
		}
	}
	s.Table("behaviour", behaviour)
	s.Table("rerouting", moved)
	remains := report.Table{Caption: fmt.Sprintf("The subject's number read at the last position, %d prompts, clean and corrupted, accuracy on nouns that the probe was not fitted on, intervals over nouns", 2*probes.x.rows), Columns: []report.Column{{Name: "variant"}}}
	for _, place := range places {
		for _, method := range methods {
			remains.Columns = append(remains.Columns, report.Column{Name: place + ", " + method})
		}
	}
	for _, f := range all {
		row := []any{f.name}
		for _, place := range places {
			for _, method := range methods {
				i := probes.at(f.name, place, method).Accuracy
				s.Interval(strings.Join([]string{f.name, place, method}, "."), i)
				row = append(row, lab.Cell(i))
			}
		}
		remains.Rows = append(remains.Rows, row)
	}
	s.Table("left", remains)
	return nil
}

// names lists the first edges, with the layers of the whole model.
func names(layer int, f *found, edges []circuits.Edge) string {
	if len(edges) == 0 {
		return "no edge"
	}
	var out []string
	for _, e := range edges[:min(len(edges), 8)] {
		g := f.scores.Graph
		out = append(out, lift(g.Senders[e.U], layer)+"->"+lift(g.Receivers[e.V], layer))
	}
	if more := len(edges) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}

// lift names a node of the blocks above a layer by its layer in the whole model.
func lift(name string, layer int) string {
	var at int
	if rest, ok := strings.CutPrefix(name, "m"); ok {
		if _, err := fmt.Sscanf(rest, "%d", &at); err == nil {
			return fmt.Sprintf("m%d", at+layer)
		}
	}
	var rest string
	if n, err := fmt.Sscanf(name, "a%d.%s", &at, &rest); err == nil && n == 2 {
		return fmt.Sprintf("a%d.%s", at+layer, rest)
	}
	return name
}

// confirm cuts the three heads whose effect by attribution grew most, each alone, in both models.
func confirm(ctx context.Context, s *study.Session, c *Config, before, after *found, heads []backup) error {
	if len(heads) == 0 {
		return nil
	}
	heads = heads[:min(len(heads), 3)]
	var cut []*circuits.Circuit
	for _, h := range heads {
		cut = append(cut, circuits.Whole(before.task.Graph).Without(h.sender))
	}
	was, err := before.task.Evaluate(ctx, before.ref, cut...)
	if err != nil {
		return err
	}
	is, err := after.task.Evaluate(ctx, after.ref, cut...)
	if err != nil {
		return err
	}
	t := report.Table{Caption: "Heads whose effect grows in " + after.name + ": by attribution, and measured by corrupting the head alone (logits)", Columns: []report.Column{
		{Name: "head"}, {Name: "growth, attributed"}, {Name: "z"}, {Name: "effect before"}, {Name: "effect after"}, {Name: "growth, measured"}}}
	confirmed := 0.0
	for k, h := range heads {
		row := []any{lift(before.task.Graph.Senders[h.sender], c.Layer), lab.Cell(h.growth), h.z}
		a, b := lab.Minus(was[k], before.task.CleanLoss), lab.Minus(is[k], after.task.CleanLoss)
		for n, x := range [][]float64{a, b, lab.Minus(b, a)} {
			i, err := lab.MeanOver(ctx, x, lab.UpTo(len(x)), c.Seed)
			if err != nil {
				return err
			}
			row = append(row, lab.Cell(i))
			if n == 2 && i.Low > 0 {
				confirmed++
			}
		}
		t.Rows = append(t.Rows, row)
	}
	s.Value(after.name+".confirmed", confirmed)
	s.Table("backup-"+after.name, t)
	return nil
}

// picture writes the circuit as one page.
func picture(s *study.Session, f *found) error {
	g, err := view.OfCircuit(f.name, f.task.Graph, f.scores.Mean(), f.circuit, nil)
	if err != nil {
		return err
	}
	return s.Dir().Write(f.name+".html", func(w io.Writer) error { return view.WriteHTML(w, g) })
}
