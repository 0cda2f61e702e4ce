package method_test

import (
	"testing"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
)

// short is a task whose ordinary sentences are few.
func short(t *testing.T) *method.Task {
	t.Helper()
	cfg := method.DefaultTask()
	cfg.Benign = 8
	task, err := method.NewTask(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// trained fits a method and frees its weights at the end of the test.
func trained(t *testing.T, e *encoder.Encoder, name string, task *method.Task, conf any) *encoder.Variant {
	t.Helper()
	m, err := method.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.Fit(t.Context(), e, task, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Params.FreeUnshared(e.Model.Params); err != nil {
			t.Error(err)
		}
	})
	return v
}

// TestDoCo erases a dog from MiniLM against a discriminator that tells the prompts apart at first and not in the end.
func TestDoCo(t *testing.T) {
	e, task := encodertest.MiniLM(t), short(t)
	c := method.DefaultDoCo()
	c.Train.Steps, c.Train.LR = 12, 1e-3
	v := trained(t, e, "doco", task, &c)
	erased, kept := recognised(t, e, v, task)
	t.Logf("erased %.2f, kept %.2f, %v", erased, kept, v.Notes)
	if v.Notes["d_accuracy_before"].(float64) < 0.9 || v.Notes["d_accuracy"].(float64) > 0.9 {
		t.Errorf("the discriminator's accuracy is %v, was %v", v.Notes["d_accuracy"], v.Notes["d_accuracy_before"])
	}
	if erased > 0.5 || kept < 0.7 {
		t.Errorf("erased %.2f, kept %.2f", erased, kept)
	}
	for _, bad := range []func(*method.DoCoConfig){
		func(c *method.DoCoConfig) { c.Surgery = "open" }, func(c *method.DoCoConfig) { c.Hidden = 0 }, func(c *method.DoCoConfig) { c.Train.Steps = 0 },
	} {
		c := method.DefaultDoCo()
		bad(&c)
		if c.Validate() == nil {
			t.Errorf("%+v is no error", c)
		}
	}
}

// TestANT erases a dog from MiniLM by less than half of the weights: those outside the mask keep every bit.
func TestANT(t *testing.T) {
	e, task := encodertest.MiniLM(t), short(t)
	c := method.DefaultANT()
	c.Augmentations, c.Train.Steps = 2, 12
	v := trained(t, e, "ant", task, &c)
	erased, kept := recognised(t, e, v, task)
	share := v.Notes["moved"].(float64)
	t.Logf("erased %.2f, kept %.2f, %v", erased, kept, v.Notes)
	if erased > 0.25 || kept < 0.8 || share > 0.5 || share < 0.25 {
		t.Errorf("erased %.2f, kept %.2f by %.2f of the weights", erased, kept, share)
	}
	moved, all := 0, 0
	for _, name := range []string{"blocks.0.W_Q", "blocks.5.W_out"} {
		before, err := e.Model.Params.Values(name)
		if err != nil {
			t.Fatal(err)
		}
		after, err := v.Params.Values(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range before {
			if before[i] != after[i] {
				moved++
			}
		}
		all += len(before)
	}
	if got := float64(moved) / float64(all); got > 0.5 || got < 0.2 {
		t.Errorf("%.3f of the weights of two matrices moved", got)
	}
	for _, bad := range []func(*method.ANTConfig){
		func(c *method.ANTConfig) { c.Mask = "most" }, func(c *method.ANTConfig) { c.Keep = 0 }, func(c *method.ANTConfig) { c.Augmentations = 0 },
	} {
		c := method.DefaultANT()
		bad(&c)
		if c.Validate() == nil {
			t.Errorf("%+v is no error", c)
		}
	}
	c.Early = e.Layers()
	m, err := method.Find("ant")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Fit(t.Context(), e, task, &c); err == nil {
		t.Error("an early block beyond the last is no error")
	}
}
