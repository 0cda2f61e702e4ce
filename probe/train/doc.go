// Package train trains models of package model: any subset of the weights, any objective, on any backend.
//
// # Overview
//
//	names, err := train.Subset(m.Spec, "blocks.*.mlp.*", "blocks.last.attn.*")
//	t, err := train.New(engine, m, names, train.DefaultConfig())
//	for range steps {
//		loss, err := t.Step(ctx, plan, inputs) // plan.Objective says what is minimised
//	}
//	err = train.SaveFolder(m, t.Params(), "edited", note)
//
// The forward and backward pass run on the backend, as the program of the plan: it is compiled once a plan and kept by the
// engine. Adam runs on the host, in float32 with moments in float32 as in PyTorch, over the buffers that the backend
// reads where it shares its memory with the host: weights are not copied. What may change a result is fixed: sums go over
// chunks of fixed size in order, so that the number of cores does not show, and a resumed run gives the bytes of an
// unbroken one.
//
// # References
//
//   - Adam: arXiv:1412.6980. Decoupled weight decay (AdamW): arXiv:1711.05101.
//   - Clipping by the global norm: arXiv:1211.5063.
package train
