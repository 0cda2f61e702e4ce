package evaluate_test

import (
	"math"
	"strings"
	"testing"

	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
)

// TestRows: on MiniLM, doing nothing changes nothing and comes last, UCE beats it and the random subspace, and its inverse brings the
// concept back.
func TestRows(t *testing.T) {
	cfg := evaluate.DefaultConfig()
	cfg.Task.Erase, cfg.Task.HeldOut, cfg.Task.Benign = []string{"dog", "church"}, 16, 32
	cfg.Attacks, cfg.AttackConcepts, cfg.AttackPrompts = []string{"paraphrase", "inverse"}, 1, 2
	cfg.Seeds, cfg.Grid, cfg.Generated, cfg.Together = 2, 2, 12, []int{1, 8}
	s, err := evaluate.NewSuite(t.Context(), encodertest.MiniLM(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var rows []*evaluate.Row
	for _, name := range []string{"nothing", "random-subspace", "leace", "uce"} {
		m, err := method.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		row, err := s.Row(t.Context(), m, name, m.Config(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s; drift %.3f, probe %.3f (shuffled %.3f), identical %.2f, %.4f s, %d bytes", row.Line(), row.Drift.Value, row.ProbeAfter.Value, row.ProbeShuffled.Value,
			row.Identical.Value, row.Seconds, row.Bytes)
		rows = append(rows, row)
	}
	nothing, uce := rows[0], rows[3]
	if nothing.Drift.High != 0 || nothing.Identical.Value != 1 || nothing.Erased.Value < 0.9 || nothing.Harmonic.Value > 0.2 || nothing.Bytes != 0 {
		t.Errorf("doing nothing: drift %v, identical %v, Acc_e %v, H %v, %d bytes", nothing.Drift, nothing.Identical, nothing.Erased, nothing.Harmonic, nothing.Bytes)
	}
	if nothing.ProbeAfter.Value != nothing.ProbeBefore.Value || nothing.ProbeAfter.Value < 0.4 {
		t.Errorf("doing nothing: a fresh probe gains %v, before %v", nothing.ProbeAfter.Value, nothing.ProbeBefore.Value)
	}
	if math.Abs(nothing.ProbeShuffled.Value) > 0.3 {
		t.Errorf("a probe of shuffled labels gains %v", nothing.ProbeShuffled.Value)
	}
	if !uce.Beats || uce.Erased.Value > 0.05 || uce.Reached == nil || uce.Reached.Value < 0.9 || uce.Condition.Value <= 1 {
		t.Errorf("UCE: %s; Acc_e %v, inverse reaches %v with cond(E) %v", uce.Verdict, uce.Erased.Value, uce.Reached, uce.Condition)
	}
	for i, want := range []int64{0, 4 * 3 * 384} { // nothing; one direction twice, and the point that stays
		if rows[i].Bytes != want {
			t.Errorf("%s takes %d bytes, want %d", rows[i].Label, rows[i].Bytes, want)
		}
	}
	trained, err := method.Find("hirm-semantic")
	if err != nil {
		t.Fatal(err)
	}
	short := trained.Config().(*method.HiRMConfig)
	short.Train.Steps = 1
	row, err := s.With(1, []string{"dog"}, []int{0}).Row(t.Context(), trained, "hirm", short, nil)
	if err != nil {
		t.Fatal(err)
	}
	if block := int64(4 * 384 * (4*384 + 2*1536)); row.Bytes < block {
		t.Errorf("a trained first block takes %d bytes, its matrices alone %d", row.Bytes, block)
	}
	if rows[1].Beats || !strings.Contains(rows[1].Verdict, "control") {
		t.Errorf("the random subspace: %s", rows[1].Verdict)
	}
	if len(uce.Together) != 2 || uce.Together[1].Concepts != 8 || uce.Together[1].Erased.Value > 0.2 {
		t.Errorf("eight people at once: %+v", uce.Together)
	}
	// or erasing them would say nothing
	if g := nothing.Together[1]; g.Erased.Value < 0.9 || g.Specific.Value < 0.9 {
		t.Errorf("of 12 fictional people and those of history, %.2f and %.2f are recognised", g.Erased.Value, g.Specific.Value)
	}
	for _, a := range uce.Attacks {
		if a.Attack == "inverse" && a.Adaptive && a.After.Value < 0.9 {
			t.Errorf("the inverse attack reaches %v", a.After.Value)
		}
	}
	if len(uce.Attacks) < 3 || len(evaluate.AttackTable(rows).Rows) < 3 {
		t.Errorf("attacks: %+v", uce.Attacks)
	}
	if len(uce.BySeed) != 2 {
		t.Errorf("H by seed: %v", uce.BySeed)
	}
	table := evaluate.Table(rows)
	for _, r := range table.Rows {
		if len(r) != len(table.Columns) {
			t.Fatalf("%d cells for %d columns", len(r), len(table.Columns))
		}
	}
	if _, err := evaluate.NewSuite(t.Context(), encodertest.MiniLM(t), evaluate.Config{Task: cfg.Task}); err == nil {
		t.Error("a configuration without seeds passed")
	}
	cfg.Task.Erase = []string{"unicorn"}
	if _, err := evaluate.NewSuite(t.Context(), encodertest.MiniLM(t), cfg); err == nil || !strings.Contains(err.Error(), "unicorn") {
		t.Errorf("erasing what the suite has not: %v", err)
	}
}
