package removal

import (
	"fmt"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
)

// publish turns the rows into the summary, the report, the tables and the numbers that expectations name: MODEL.ROW.FIGURE.
func publish(s *study.Session, c *Config, all []Row) error {
	for _, m := range c.Models {
		key := c.key(m)
		var rows []Row
		for _, r := range all {
			if r.Model == key {
				rows = append(rows, r)
			}
		}
		before := rows[0]
		s.Text("%s, %s at %s: %s removed. Methods and probes are fitted on %d texts and judged on %d held-out ones.", key, m.Site, m.Position, before.Stage.Concept[0].Target,
			before.Stage.Rows, before.Stage.Concept[0].N)
		s.Table(key+"-left", left(key, rows))
		s.Plot(bars(key, rows))
		s.Table(key+"-cost", cost(key, rows))
		numbers(s, key, rows)
	}
	s.Text("Read a row beside its controls: what a random subspace of equal rank takes away is not to a method's credit, and a method that is fitted to shuffled labels " +
		"removes nothing in particular. Weight and gain are of the exact linear classifier on the fitted texts, where a complete linear erasure leaves 0 and 0; a quadratic " +
		"or MLP probe that reads the concept afterwards shows that it was not erased but hidden from linear probes. Oracles see the labels of what they erase: they show " +
		"what is possible and have no edit of the model.")
	cards := 0
	for _, r := range all {
		if r.Card != "" {
			cards++
		}
	}
	s.Text("%d vectors are saved in weights/, each as NAME.safetensors with its card NAME.json.", cards)
	return nil
}

func left(key string, rows []Row) report.Table {
	t := report.Table{Caption: key + ": what probes read of the concept on held-out texts (AUC) and on the fitted ones", Columns: []report.Column{{Name: "removed"}, {Name: "rank", Doc: "directions that are removed"}}}
	for _, p := range rows[0].Stage.Concept {
		t.Columns = append(t.Columns, report.Column{Name: p.Method, Doc: "AUC of a " + p.Method + " probe that is fitted afterwards, with its interval over words or texts; 0.5 is chance"})
	}
	t.Columns = append(t.Columns, report.Column{Name: "weight", Doc: "largest weight of the exact linear classifier on the fitted texts"},
		report.Column{Name: "gain", Unit: "nats", Doc: "how far its loss lies below a constant's, a text"})
	for _, r := range rows {
		cells := []any{r.Name, r.Rank}
		for _, p := range r.Stage.Concept {
			cells = append(cells, lab.Cell(p.AUC))
		}
		t.Rows = append(t.Rows, append(cells, r.Stage.LargestWeight, r.Stage.LossGain))
	}
	return t
}

func cost(key string, rows []Row) report.Table {
	t := report.Table{Caption: key + ": what it cost", Columns: []report.Column{
		{Name: "removed"}, {Name: "moved", Doc: "mean squared distance of held-out activations over their variance"}, {Name: "norm", Doc: "mean of the norm after over before"},
		{Name: "cosine", Doc: "of an activation before and after"},
	}}
	for _, o := range rows[0].Others {
		t.Columns = append(t.Columns, report.Column{Name: o.Target, Doc: "held-out accuracy of a linear probe of another concept, fitted afterwards"})
	}
	perplexity, choice, embedding := false, false, false
	for _, r := range rows {
		if d := r.Damage; d != nil {
			perplexity, choice, embedding = perplexity || d.Perplexity != nil, choice || d.Choice != nil, embedding || d.Embedding != nil
		}
	}
	if perplexity {
		t.Columns = append(t.Columns, report.Column{Name: "perplexity ratio", Doc: "of the edited model over the model as it is, on other text; 1: no damage"})
	}
	if choice {
		t.Columns = append(t.Columns, report.Column{Name: "answers lost", Doc: "share of multiple-choice questions that were answered right and are no more, less those gained"})
	}
	if embedding {
		t.Columns = append(t.Columns, report.Column{Name: "embedding cosine", Doc: "of a sentence embedding before and after, on other text"}, report.Column{Name: "neighbours kept", Doc: "share of a text's nearest texts that stay"})
	}
	for _, r := range rows {
		ch := r.Stage.Change
		cells := []any{r.Name, ch.Share, ch.Norm, ch.Cosine}
		for i := range rows[0].Others {
			if i < len(r.Others) {
				cells = append(cells, lab.Cell(r.Others[i].Accuracy))
			} else {
				cells = append(cells, nil)
			}
		}
		none := r.Damage == nil
		add := func(has bool, of func() stats.Interval) {
			switch {
			case has && none:
				cells = append(cells, nil)
			case has:
				cells = append(cells, lab.Cell(of()))
			}
		}
		add(perplexity, func() stats.Interval { return r.Damage.Perplexity.Ratio })
		add(choice, func() stats.Interval { return r.Damage.Choice.Lost })
		add(embedding, func() stats.Interval { return r.Damage.Embedding.Cosine })
		add(embedding, func() stats.Interval { return r.Damage.Embedding.Neighbours })
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// bars show what is left to the last probe of the list, the most able one.
func bars(key string, rows []Row) report.Block {
	last := len(rows[0].Stage.Concept) - 1
	b := report.Bar{Title: fmt.Sprintf("%s: held-out AUC of a %s probe, 95 %% intervals; 0.5 is chance", key, rows[0].Stage.Concept[last].Method), XLabel: "removed", YLabel: "AUC"}
	for _, r := range rows {
		auc := r.Stage.Concept[last].AUC
		b.Labels, b.Values, b.Low, b.High = append(b.Labels, r.Name), append(b.Values, auc.Value), append(b.Low, auc.Low), append(b.High, auc.High)
	}
	return b
}

// numbers are named MODEL.ROW.FIGURE: minilm.leace.mlp_auc. Of several random subspaces of one rank the first is named.
func numbers(s *study.Session, key string, rows []Row) {
	seen := map[string]bool{}
	for _, r := range rows {
		row := r.number()
		if seen[row] {
			continue
		}
		seen[row] = true
		name := func(figure string) string { return key + "." + row + "." + figure }
		for _, p := range r.Stage.Concept {
			s.Interval(name(p.Method+"_auc"), p.AUC)
			s.Interval(name(p.Method+"_accuracy"), p.Accuracy)
		}
		s.Value(name("weight"), r.Stage.LargestWeight)
		s.Value(name("gain"), r.Stage.LossGain)
		s.Value(name("moved"), r.Stage.Change.Share)
		for _, o := range r.Others {
			s.Interval(name("other_"+o.Target), o.Accuracy)
		}
		if r.Damage == nil {
			continue
		}
		if p := r.Damage.Perplexity; p != nil {
			s.Interval(name("perplexity_ratio"), p.Ratio)
		}
		if q := r.Damage.Choice; q != nil {
			s.Interval(name("answers_lost"), q.Lost)
		}
		if e := r.Damage.Embedding; e != nil {
			s.Interval(name("embedding_cosine"), e.Cosine)
			s.Interval(name("neighbours_kept"), e.Neighbours)
		}
	}
}

// number names a row.
func (r Row) number() string {
	switch r.Kind {
	case Before:
		return "before"
	case Random:
		return fmt.Sprintf("random_%d", r.Rank)
	case Shuffled:
		return r.Method + "_shuffled"
	}
	return r.Method
}
