package method_test

import (
	"testing"

	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
)

// TestAdvUnlearn: at a budget of a few steps the concept is gone, what is retained is recognised and lies nearer to what it was than without
// the retained prompts, the embeddings are left alone, and settings that cannot be are refused.
func TestAdvUnlearn(t *testing.T) {
	e := encodertest.MiniLM(t)
	task, err := method.NewTask(method.DefaultTask())
	if err != nil {
		t.Fatal(err)
	}
	few := func(c *method.AdvUnlearnConfig) {
		c.Train.Steps, c.Train.LR, c.Retain, c.Warmup, c.Attack.Steps, c.Batch = 16, 2e-4, 3, 12, 2, 8
	}
	v := fit(t, e, "advunlearn", task, func(conf any) { few(conf.(*method.AdvUnlearnConfig)) })
	erased, kept := recognised(t, e, v, task)
	t.Logf("erased %.2f, kept %.2f, %v", erased, kept, v.Notes)
	if erased > 0.3 || kept < 0.9 {
		t.Errorf("erased %.2f, kept %.2f", erased, kept)
	}
	if v.Notes["attack_after"].(float64) >= v.Notes["attack_before"].(float64) {
		t.Errorf("the last attack did not lower its loss: %v", v.Notes)
	}
	for _, name := range changed(t, e, v) {
		if name[:7] != "blocks." {
			t.Errorf("%s changed", name)
		}
	}
	free := fit(t, e, "advunlearn", task, func(conf any) {
		c := conf.(*method.AdvUnlearnConfig)
		few(c)
		c.Retain = 0
	})
	if _, alone := recognised(t, e, free, task); alone >= kept {
		t.Errorf("kept %.2f with retained prompts, %.2f without", kept, alone)
	}
	m, err := method.Find("advunlearn")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*method.AdvUnlearnConfig){
		func(c *method.AdvUnlearnConfig) { c.Update = []string{"all"} },
		func(c *method.AdvUnlearnConfig) { c.Attack.Tokens = 0 },
		func(c *method.AdvUnlearnConfig) { c.Attack.Step = "newton" },
		func(c *method.AdvUnlearnConfig) { c.Reader.Kind = "denoiser" },
		func(c *method.AdvUnlearnConfig) { c.Reader.Kind, c.Reader.File = method.ReadStack, "none" },
	} {
		c := m.Config().(*method.AdvUnlearnConfig)
		change(c)
		if _, err := m.Fit(t.Context(), e, task, c); err == nil {
			t.Errorf("%+v is no error", c)
		}
	}
}
