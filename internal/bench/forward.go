package bench

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/compute"

	"loupe/internal/backend"
	"loupe/probe/model"
)

// Forward times forward passes with the residual stream captured, beside lm_forward.py. No case computes logits; token
// ids are uniform random and every sequence is full length.
func Forward() Kind {
	return Kind{Name: "forward", Bench: "lm_forward", Cases: forwardCases, Run: runForward}
}

const (
	benchMiniLM  = "all-MiniLM-L6-v2"
	benchSmolLM2 = "SmolLM2-135M"
	benchGPT2    = "gpt2-small-random"
)

func forwardCases(o Options) []Case {
	var out []Case
	add := func(name string, batch int, attn, capture string) {
		out = append(out, Case{"loupe", []Field{{"model", name}, {"batch", batch}, {"seq", 128}, {"attn", attn}, {"capture", capture}}})
	}
	for _, m := range []struct {
		name  string
		batch int
		ok    bool
	}{{benchMiniLM, 32, o.MiniLM != ""}, {benchSmolLM2, 8, o.SmolLM2 != ""}, {benchGPT2, 8, true}} {
		if m.ok {
			add(m.name, m.batch, "sdpa", "none")
			add(m.name, m.batch, "sdpa", "resid_all")
		}
	}
	add(benchGPT2, 8, "eager", "everything")
	return out
}

// loadBench loads a benchmark's model.
func loadBench(ctx context.Context, b compute.Backend, o Options, name string) (*model.Spec, *model.Params, error) {
	path := o.MiniLM
	switch name {
	case benchSmolLM2:
		path = o.SmolLM2
	case benchGPT2:
		spec := model.GPT2Small()
		params, err := model.RandomParams(ctx, b, spec, 0)
		return spec, params, err
	}
	m, err := model.Load(ctx, b, path, model.Options{})
	if err != nil {
		return nil, nil, err
	}
	return m.Spec, m.Params, nil
}

// openDevice opens the backend of a device.
func openDevice(device string) (compute.Backend, error) {
	switch device {
	case "cpu", "cuda":
		return backend.Open("xla:" + device)
	}
	return nil, fmt.Errorf("bench: unknown device %q; use cpu or cuda", device)
}

func runForward(ctx context.Context, o Options, c Case) ([]Field, error) {
	b, err := openDevice(o.Device)
	if err != nil {
		return nil, err
	}
	spec, params, err := loadBench(ctx, b, o, c.Get("model"))
	if err != nil {
		return nil, err
	}
	var batch int
	if _, err := fmt.Sscan(c.Get("batch"), &batch); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	plan := model.Plan{Batch: batch, Seq: 128}
	switch c.Get("capture") {
	case "resid_all":
		for i := range spec.Layers {
			plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: model.ResidPre, Layer: i}})
		}
	case "everything":
		for _, s := range spec.Sites() {
			plan.Captures = append(plan.Captures, model.Capture{Site: s})
		}
	}
	if c.Get("capture") != "everything" {
		plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: model.LastHidden}})
	}
	engine := model.NewEngine(b, nil)
	program, err := engine.Compile(spec, plan)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(0, 0))
	in := model.Inputs{IDs: make([]int32, batch*plan.Seq)}
	for i := range in.IDs {
		in.IDs[i] = int32(random.IntN(spec.Vocab))
	}
	took, err := repeat(ctx, o, func() error {
		out, err := program.Run(ctx, params, in)
		if err != nil {
			return err
		}
		return out.Free()
	})
	if err != nil {
		return nil, err
	}
	return rateFields(took, batch*plan.Seq), nil
}
