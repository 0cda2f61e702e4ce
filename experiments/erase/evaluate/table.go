package evaluate

import (
	"fmt"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
)

// Table holds rows side by side: what was erased and kept, and at what cost.
func Table(rows []*Row) report.Table {
	t := report.Table{
		Caption: "Held-out prompts, 95 % intervals over prompts; low is good for Acc_e, Acc_g, implicit, drift and probe",
		Columns: []report.Column{
			{Name: "method"}, {Name: "acts on"}, {Name: "seeds"},
			{Name: "Acc_e", Doc: "prompts of the erased concept that are still recognised"}, {Name: "Acc_s", Doc: "prompts of the domain's other concepts"},
			{Name: "Acc_g", Doc: "of the erased concept by its synonyms"}, {Name: "implicit", Doc: "descriptions that do not name it"}, {Name: "H", Doc: "harmonic mean of 1 - Acc_e, Acc_s, 1 - Acc_g"},
			{Name: "UA"}, {Name: "IRA"}, {Name: "CRA"},
			{Name: "NP cos"}, {Name: "NP acc"}, {Name: "NP rank"}, {Name: "NP K/V"},
			{Name: "drift", Doc: "of ordinary sentences, relative"}, {Name: "TPR"}, {Name: "FPR"}, {Name: "identical", Doc: "benign prompts that keep every bit"},
			{Name: "probe", Doc: "accuracy of a fresh probe over the majority"}, {Name: "probe, shuffled"}, {Name: "cond(E)"}, {Name: "inverse reaches"},
			{Name: "time", Unit: "s"}, {Name: "edit", Unit: "KB"}, {Name: "verdict"},
		},
	}
	for _, r := range rows {
		cells := []any{r.Label, r.Acts, r.Seeds}
		for _, i := range []*stats.Interval{r.Erased, r.Specific, r.General, r.Implicit, &r.Harmonic, r.Unlearning, r.InDomain, r.CrossDomain,
			r.NeighbourCosine, r.NeighbourAccuracy, r.NeighbourRank, r.NeighbourKV, r.Drift, r.TPR, r.FPR, r.Identical, r.ProbeAfter, r.ProbeShuffled, r.Condition, r.Reached} {
			cells = append(cells, cell(i))
		}
		t.Rows = append(t.Rows, append(cells, r.Seconds, kilobytes(r.Bytes), r.Verdict))
	}
	return t
}

// TogetherTable holds what erasing several concepts at once did.
func TogetherTable(rows []*Row) report.Table {
	t := report.Table{
		Caption: "Fictional people erased at once, beside those and people of history that are kept",
		Columns: []report.Column{{Name: "method"}, {Name: "erased"}, {Name: "Acc_e"}, {Name: "Acc_s"}, {Name: "H", Doc: "of 1 - Acc_e and Acc_s"}, {Name: "drift"},
			{Name: "time", Unit: "s", Doc: "for each concept"}, {Name: "edit", Unit: "KB", Doc: "for each concept"}},
	}
	for _, r := range rows {
		for _, g := range r.Together {
			t.Rows = append(t.Rows, []any{r.Label, g.Concepts, cell(g.Erased), cell(g.Specific), cell(&g.Harmonic), cell(g.Drift), g.Seconds, kilobytes(g.Bytes)})
		}
	}
	return t
}

// AttackTable holds what attacks brought back.
func AttackTable(rows []*Row) report.Table {
	t := report.Table{
		Caption: "Attacks: share of held-out prompts of the erased concept that are recognised before and after; a static attack is found on the original encoder, an adaptive one on the edited one",
		Columns: []report.Column{{Name: "method"}, {Name: "attack"}, {Name: "kind"}, {Name: "before"}, {Name: "after"}, {Name: "queries"}, {Name: "time", Unit: "s"}},
	}
	for _, r := range rows {
		for _, a := range r.Attacks {
			kind := "static"
			if a.Adaptive {
				kind = "adaptive"
			}
			t.Rows = append(t.Rows, []any{r.Label, a.Attack, kind, cell(a.Before), cell(a.After), a.Queries, a.Seconds})
		}
	}
	return t
}

// kilobytes is nil, which prints as "-", where a size is not known.
func kilobytes(n int64) any {
	if n < 0 {
		return nil
	}
	return float64(n) / 1000
}

// cell is nil, which prints as "-", where nothing was measured.
func cell(i *stats.Interval) any {
	if i == nil {
		return nil
	}
	return lab.Cell(*i)
}

// Line is a row in one sentence.
func (r *Row) Line() string {
	return fmt.Sprintf("%s: H %s; %s", r.Label, lab.Short(r.Harmonic), r.Verdict)
}
