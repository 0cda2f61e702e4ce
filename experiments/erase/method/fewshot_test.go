package method_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"

	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
)

// TestFewShotLoss: with one shot and one text the first step's loss is the cosine of the text with itself, 1, and its gradient
// vanishes there; with texts of all templates it is the mean of their cosines with the example, within the draws.
func TestFewShotLoss(t *testing.T) {
	e := encodertest.MiniLM(t)
	task, err := method.NewTask(method.DefaultTask())
	if err != nil {
		t.Fatal(err)
	}
	x, err := e.Embed(t.Context(), nil, task.Erase[0].Fit)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := x.Dims()
	want := 0.0
	for i := range n {
		want += floats.Dot(x.RawRowView(i), x.RawRowView(0)) / floats.Norm(x.RawRowView(i), 2) / floats.Norm(x.RawRowView(0), 2) / float64(n)
	}
	v := fit(t, e, "few-shot", task, func(conf any) {
		c := conf.(*method.FewShotConfig)
		c.Shots, c.Batch, c.Train.Steps, c.Train.LR, c.Train.WeightDecay = 1, 24, 1, 0, 0
	})
	if got := v.Notes["first_cosine"].(float64); math.Abs(got-want) > 0.05 { // 24 draws of n texts
		t.Errorf("mean cosine %v, want %v", got, want)
	}
	if names := changed(t, e, v); len(names) > 0 {
		t.Errorf("a rate of 0 changed %v", names)
	}
	task.Erase[0].Fit = task.Erase[0].Fit[:1]
	v = fit(t, e, "few-shot", task, func(conf any) {
		c := conf.(*method.FewShotConfig)
		c.Shots, c.Train.Steps = 1, 1
	})
	if got := v.Notes["first_cosine"].(float64); math.Abs(got-1) > 1e-5 {
		t.Errorf("cosine of a text with itself: %v", got)
	}
}

// TestFewShot: the published subset alone changes, the concept's texts leave its examples, others are still recognised; driven away
// from random directions they stay; and settings that cannot be are refused.
func TestFewShot(t *testing.T) {
	e := encodertest.MiniLM(t)
	cfg := method.DefaultTask()
	cfg.Erase = []string{"church"}
	task, err := method.NewTask(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v := fit(t, e, "few-shot", task, nil)
	names := changed(t, e, v)
	for _, name := range names {
		mlp := slices.ContainsFunc([]string{"_in", "_out"}, func(s string) bool { return strings.HasSuffix(name, s) })
		if !mlp && !strings.HasPrefix(name, "blocks.5.") {
			t.Errorf("%s changed", name)
		}
	}
	erased, kept := recognised(t, e, v, task)
	control := fit(t, e, "few-shot", task, func(conf any) { conf.(*method.FewShotConfig).Examples = method.ExamplesRandom })
	erasedRandom, _ := recognised(t, e, control, task)
	t.Logf("erased %.2f, kept %.2f; random examples: erased %.2f; cosine %.2f to %.2f", erased, kept, erasedRandom, v.Notes["first_cosine"], v.Notes["last_cosine"])
	if erased > 0.1 || kept < 0.8 || erasedRandom < 0.9 {
		t.Errorf("erased %.2f, kept %.2f; random examples: erased %.2f", erased, kept, erasedRandom)
	}
	m, err := method.Find("few-shot")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*method.FewShotConfig){
		func(c *method.FewShotConfig) { c.Update = []string{"blocks.99.*"} },
		func(c *method.FewShotConfig) { c.Shots = 1000 },
		func(c *method.FewShotConfig) { c.Temperature = 0 },
		func(c *method.FewShotConfig) { c.Examples = "images" },
	} {
		c := m.Config().(*method.FewShotConfig)
		change(c)
		if _, err := m.Fit(t.Context(), e, task, c); err == nil {
			t.Errorf("%+v is no error", c)
		}
	}
}
