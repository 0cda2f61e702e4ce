package circuits

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestSubjectByHand: tokens that differ are the subject; positions without a token are refused.
func TestSubjectByHand(t *testing.T) {
	p := &Pairs{Rows: 2, Seq: 3, Clean: []int32{1, 2, 3, 4, 5, 6}, Corrupted: []int32{1, 7, 8, 9, 5, 7}, Mask: []int32{1, 1, 1, 1, 1, 0}}
	got := must[[][]int](t)(p.subject(nil))
	if !slices.Equal(got[0], []int{1, 2}) || !slices.Equal(got[1], []int{0}) {
		t.Errorf("subjects %v", got)
	}
	for want, given := range map[string][][]int{"holds no token": {{0}, {2}}, "of 1 rows for 2": {{0}}, "no subject": {{0}, {}}} {
		if _, err := p.subject(given); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestCausalTrace: on the planted induction model with noise on the token that is to be copied. The whole stream put back at that position before the first
// block, or at the last position behind the last block, gives the clean loss; before the noise, or behind the last block elsewhere, nothing comes back; and what the
// induction head copies is at the token's position before its block and at the last one behind it.
func TestCausalTrace(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	base := plantedTask(t, engine, LogitDiff())
	var expected struct {
		Kinds map[string]struct{ Examples []int } `json:"by_corruption"`
	}
	readJSON(t, &expected, filepath.Join(graphtest.Golden(t), "circuits"), "planted", "induction", "expected.json")
	tsk := newTask(t, engine, base.Model, base.Pairs.pick(expected.Kinds["value"].Examples[:2]), LogitDiff())
	cfg := DefaultTrace(1)
	cfg.Samples = 3
	for r := range tsk.Pairs.Rows {
		cfg.Subject = append(cfg.Subject, []int{slices.Index(tsk.Pairs.Clean[r*tsk.Pairs.Seq:(r+1)*tsk.Pairs.Seq], tsk.Pairs.Answer[r][0])})
	}
	run := func(site model.Kind, window int) *Trace {
		cfg.Site, cfg.Window = site, window
		return must[*Trace](t)(CausalTrace(t.Context(), tsk, cfg))
	}
	pre, post := run(model.ResidPre, 1), run(model.ResidPost, 1)
	layers, seq := tsk.Model.Spec.Layers, tsk.Pairs.Seq
	at := func(x *Trace, r, layer, position int) float64 { return x.Restored[(r*layers+layer)*seq+position] }
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-3*(1+math.Abs(want)) {
			t.Errorf("%s: %g, want %g", what, got, want)
		}
	}
	for r, where := range pre.Subject {
		subject, last := where[0], tsk.Pairs.last(r)
		clean, noised := tsk.CleanLoss[r], pre.Noised[r]
		near("the embedding restored", at(pre, r, 0, subject), clean)
		near("the last state restored", at(post, r, layers-1, last), clean)
		near("a state before the subject", at(post, r, 0, subject-1), noised)
		near("the subject's last state", at(post, r, layers-1, subject), noised)
		near("two traces of one seed", post.Noised[r], noised)
		total := noised - clean
		early, late := noised-at(post, r, 0, subject), noised-at(post, r, 0, last)
		t.Logf("row %d: noise adds %.3f to the loss; before the induction head's block the token's state restores %.3f, the last one %.3f", r, total, early, late)
		if total < 1 || early < 0.9*total || math.Abs(late) > 0.1*total {
			t.Errorf("row %d: of %g, the subject's state restores %g and the last one %g", r, total, early, late)
		}
	}
	wide := run(model.MLPOut, 2*layers+1)
	for r := range tsk.Pairs.Rows {
		for position := range seq {
			near("a window of all layers", at(wide, r, 0, position), at(wide, r, layers-1, position))
		}
	}
	cfg.Seed = 2
	if other := run(model.ResidPre, 1); slices.Equal(other.Noised, pre.Noised) {
		t.Error("another seed, the same noise")
	}
}

// TestCausalTraceEncoder: the method holds for an encoder that normalises after each block, and in chunks gives what one batch does.
func TestCausalTraceEncoder(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m := loadModel(t, engine, graphtest.Golden(t), "models", "tiny", "bert")
	p := randomPairs(m.Spec, 3, 4, 1)
	metric := Cosine(model.Site{Kind: model.LastHidden})
	cfg := TraceConfig{Site: model.AttnOut, Window: 2, Noise: 3, Samples: 2, Seed: 1}
	opt := Options{SweepRows: 3}
	whole := must[*Trace](t)(CausalTrace(t.Context(), must[*Task](t)(NewTask(t.Context(), engine, m, p, metric, opt)), cfg))
	opt.Budget = 2 * must[*Memory](t)(EstimateMemory(m.Spec, p.Rows, p.Seq, opt)).Row
	small := must[*Task](t)(NewTask(t.Context(), engine, m, p, metric, opt))
	if len(small.chunks) != 2 {
		t.Fatalf("%d chunks", len(small.chunks))
	}
	parts := must[*Trace](t)(CausalTrace(t.Context(), small, cfg))
	close(t, "noised", parts.Noised, whole.Noised, 1e-4)
	close(t, "restored", parts.Restored, whole.Restored, 1e-4)
	if mean(whole.Noised) <= mean(whole.Clean) {
		t.Errorf("noise moves the embedding by %g, clean %g", mean(whole.Noised), mean(whole.Clean))
	}
	for want, change := range map[string]func(c *TraceConfig){
		"must be positive": func(c *TraceConfig) { c.Window = 0 }, "a state of every position": func(c *TraceConfig) { c.Site = model.Z },
	} {
		bad := cfg
		change(&bad)
		if _, err := CausalTrace(t.Context(), small, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
