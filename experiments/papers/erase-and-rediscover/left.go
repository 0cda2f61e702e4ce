package eraseandrediscover

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/lab"
	"loupe/probe"
	"loupe/probe/model"
)

// left reads the number off the last position, where the verb is due, right behind the edit and at the end of the model: by a linear probe and by one
// with a hidden layer, on nouns that the probe was not fitted on. Clean and corrupted prompts go in together: in the clean ones alone the other noun,
// which nobody erased, has always the other number.
type left struct {
	x      *streams
	conf   *Config
	target probe.Target
	groups []int
	read   map[string]probe.CrossValidation // by variant, place and method
}

// Places and methods of the probes.
var (
	places  = []string{"edit", "end"}
	methods = []string{"logistic", "mlp"}
)

func newLeft(x *streams, c *Config) *left {
	t := probe.Target{Name: "number", Task: probe.Binary, Class: make([]int, 2*x.rows), Classes: []string{"singular", "plural"}}
	for r := range 2 * x.rows {
		if x.plural(r) {
			t.Class[r] = 1
		}
	}
	return &left{x, c, t, append(x.noun(), x.noun()...), map[string]probe.CrossValidation{}}
}

func (f *left) at(variant, place, method string) probe.CrossValidation {
	return f.read[variant+" "+place+" "+method]
}

func (f *left) measure(ctx context.Context, l *lab.Lab, m *model.Model, e edit) error {
	x := f.x
	rows := map[string]probe.Rows{}
	edited := probe.Rows{N: 2 * x.rows, D: x.d}
	for r := range 2 * x.rows {
		edited.Values = append(edited.Values, e.values[((r+1)*x.seq-1)*x.d:][:x.d]...)
	}
	rows["edit"] = edited
	last := model.Capture{Site: model.Site{Kind: model.ResidPost, Layer: m.Spec.Layers - 1}, Reduce: model.Gathered}
	program, err := l.Engine.Compile(m.Spec, model.Plan{Batch: x.rows, Seq: x.seq, Gather: 1, Captures: []model.Capture{last}})
	if err != nil {
		return err
	}
	end := probe.Rows{N: 2 * x.rows, D: x.d}
	pairs := x.pairs(x.rows)
	for _, ids := range [][]int32{pairs.Clean, pairs.Corrupted} {
		in := model.Inputs{IDs: ids}
		for range x.rows {
			in.Gather = append(in.Gather, int32(x.seq-1))
		}
		out, err := program.Run(ctx, m.Params, in)
		if err != nil {
			return err
		}
		values, err := tensors.CopyFlatData[float32](out.Capture(last))
		if err := errors.Join(err, out.Free()); err != nil {
			return fmt.Errorf("erase-and-rediscover: %w", err)
		}
		end.Values = append(end.Values, values...)
	}
	rows["end"] = end
	for _, place := range places {
		for _, method := range methods {
			cv, err := probe.CrossValidate(ctx, probe.DefaultMethod(method), rows[place], []probe.Target{f.target}, f.groups, 5, probe.DefaultIntervals(), uint64(f.conf.Seed))
			if err != nil {
				return fmt.Errorf("probe %s at the %s: %w", method, place, err)
			}
			f.read[e.name+" "+place+" "+method] = cv[0]
		}
	}
	return nil
}
