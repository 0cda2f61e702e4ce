package evaluate

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// modelReader reads attributes by the model itself: it puts activations at the entity's last token of an attribute's prompt and
// looks at the next-token logits of the values' first tokens. It implements sae.AttributeReader.
type modelReader struct {
	subject    *Subject
	site       model.Site
	batch, seq int
	candidates [][]int32        // [attribute][value], first tokens
	prompts    [][]readerPrompt // [attribute][entity]
	program    *model.Program
	width      int
	most       int // candidates of the largest attribute
}

// readerPrompt is a prompt with the place of the entity's last token.
type readerPrompt struct {
	tokens []int32
	at     int
}

// noCandidate is the bias of a place without a candidate.
const noCandidate = -1e9

func newModelReader(s *Subject, site model.Site, prompts [][]readerPrompt, candidates [][]int32, batch int) (*modelReader, error) {
	r := &modelReader{subject: s, site: site, batch: batch, prompts: prompts, candidates: candidates, width: s.Model.Spec.Width(site.Kind, 1)}
	for _, c := range candidates {
		r.most = max(r.most, len(c))
	}
	longest := 0
	for _, attribute := range prompts {
		for _, p := range attribute {
			longest = max(longest, len(p.tokens))
		}
	}
	r.seq = longest
	var layers []int
	if site.Kind.InBlock() {
		layers = []int{site.Layer}
	}
	var err error
	r.program, err = s.Engine.Compile(s.Model.Spec, model.Plan{
		Batch: batch, Seq: r.seq, Gather: 1, Logits: model.LogitsAt, Edits: []model.Edit{{Site: site.Kind, Layers: layers, Replace: true}},
		Objective: candidateLoss(batch, r.most), GradEdits: []model.EditTensor{{Edit: 0, Name: "source"}},
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate: attribute reader: %w", err)
	}
	return r, nil
}

// Read implements sae.AttributeReader.
func (r *modelReader) Read(ctx context.Context, x []float32, base []int, attribute int, want []int) ([]int, []float32, error) {
	n := len(base)
	if len(x) != n*r.width || len(want) != n || attribute < 0 || attribute >= len(r.prompts) {
		return nil, nil, fmt.Errorf("evaluate: attribute reader: %d values, %d rows, %d wanted values of attribute %d", len(x), n, len(want), attribute)
	}
	read, grad := make([]int, n), make([]float32, len(x))
	for lo := 0; lo < n; lo += r.batch {
		hi := min(lo+r.batch, n)
		if err := r.readBatch(ctx, x[lo*r.width:hi*r.width], base[lo:hi], attribute, want[lo:hi], n, read[lo:hi], grad[lo*r.width:hi*r.width]); err != nil {
			return nil, nil, fmt.Errorf("evaluate: attribute reader: %w", err)
		}
	}
	return read, grad, nil
}

// readBatch reads at most a batch; total is the number of rows over which the loss is averaged.
func (r *modelReader) readBatch(ctx context.Context, x []float32, base []int, attribute int, want []int, total int, read []int, grad []float32) (err error) {
	b, t, d, k := r.batch, r.seq, r.width, r.most
	ids, mask, gather := make([]int32, b*t), make([]int32, b*t), make([]int32, b)
	where, source := make([]float32, b*t), make([]float32, b*t*d)
	tokens, bias, wanted := make([]int32, b*k), make([]float32, b*k), make([]float32, b*k)
	values := r.candidates[attribute]
	for row := range b {
		i := min(row, len(base)-1) // missing rows repeat the last one and weigh nothing
		p := r.prompts[attribute][base[i]]
		r.subject.place(p.tokens, ids[row*t:(row+1)*t], mask[row*t:(row+1)*t])
		gather[row] = int32(len(p.tokens) - 1)
		where[row*t+p.at] = 1
		copy(source[(row*t+p.at)*d:], x[i*d:(i+1)*d])
		for j := range k {
			if j < len(values) {
				tokens[row*k+j] = values[j]
			} else {
				bias[row*k+j] = noCandidate
			}
		}
		if row < len(base) {
			wanted[row*k+want[row]] = 1 / float32(total)
		}
	}
	out, err := r.program.Run(ctx, r.subject.Model.Params, model.Inputs{
		IDs: ids, Mask: mask, Gather: gather,
		Edits: []map[string]*tensors.Tensor{{
			"where": tensors.FromFlatDataAndDimensions(where, 1, b, t), "dims": tensors.FromScalarAndDimensions(float32(1), d),
			"source": tensors.FromFlatDataAndDimensions(source, b, t, d),
		}},
		Objective: map[string]*tensors.Tensor{
			"tokens": tensors.FromFlatDataAndDimensions(tokens, b, k), "bias": tensors.FromFlatDataAndDimensions(bias, b, k), "wanted": tensors.FromFlatDataAndDimensions(wanted, b, k),
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	logits, err := tensors.CopyFlatData[float32](out.Logits())
	if err != nil {
		return fmt.Errorf("read the logits: %w", err)
	}
	g, err := tensors.CopyFlatData[float32](out.GradEdit(model.EditTensor{Edit: 0, Name: "source"}))
	if err != nil {
		return fmt.Errorf("read the gradient: %w", err)
	}
	vocab := len(logits) / b
	for row := range base {
		for v, token := range values {
			if logits[row*vocab+int(token)] > logits[row*vocab+int(values[read[row]])] {
				read[row] = v
			}
		}
		at := r.prompts[attribute][base[row]].at
		copy(grad[row*d:(row+1)*d], g[(row*t+at)*d:])
	}
	return nil
}
