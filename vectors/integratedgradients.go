package vectors

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/integrate/quad"

	"loupe/probe/model"
)

// IntegratedGradients scores each token by the integral of the target's gradient along the straight path of all embeddings from a
// baseline e' to the prompt's e (Sundararajan et al., arXiv:1703.01365), summed over the embedding's entries:
//
//	score_t = sum_j (e_tj - e'_j) int_0^1 d target(e' + a (e - e')) / d e_tj da
//
// The scores sum to target(e) - target(e'). On any part of the path they sum to the target's change there, so the part that misses its
// change most is halved, and again, until all parts together miss at most the tolerance or the points are used up. Gap says by how
// much the scores miss in the end.
func IntegratedGradients(ctx context.Context, e *model.Engine, m *model.Model, ids []int32, target PromptTarget, cfg IGConfig) (*PromptScores, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := target.check(m.Spec, ids); err != nil {
		return nil, err
	}
	embedded, start, err := embeddings(ctx, e, m, ids, cfg.Baseline)
	if err != nil {
		return nil, err
	}
	path, err := newEmbeddingPath(e, m, ids, target, cfg.Batch, embedded, start)
	if err != nil {
		return nil, err
	}
	ends, _, err := path.at(ctx, []float64{0, 1})
	if err != nil {
		return nil, err
	}
	whole, err := path.part(ctx, 0, 1, ends[0])
	if err != nil {
		return nil, err
	}
	parts := []pathPart{*whole}
	for used := cfg.Batch; used+2*cfg.Batch <= cfg.Points; used += 2 * cfg.Batch {
		missed, worst := 0.0, 0
		for i, p := range parts {
			missed += p.gap()
			if p.gap() > parts[worst].gap() {
				worst = i
			}
		}
		if missed <= cfg.Tolerance*math.Abs(ends[1]-ends[0]) {
			break
		}
		old := parts[worst]
		middle := (old.from + old.to) / 2
		left, err := path.part(ctx, old.from, middle, old.before)
		if err != nil {
			return nil, err
		}
		right, err := path.part(ctx, middle, old.to, left.after)
		if err != nil {
			return nil, err
		}
		parts[worst] = *left
		parts = append(parts, *right)
	}
	out := &PromptScores{Scores: make([]float64, len(ids)), Baseline: ends[0], Target: ends[1]}
	for _, p := range parts {
		floats.Add(out.Scores, p.scores)
	}
	out.Gap = math.Abs(floats.Sum(out.Scores) - (out.Target - out.Baseline))
	return out, nil
}

// pathPart is the integral over a part of the path: the scores there [t], and the target at both ends.
type pathPart struct {
	from, to, before, after float64
	scores                  []float64
}

func (p *pathPart) gap() float64 { return math.Abs(floats.Sum(p.scores) - (p.after - p.before)) }

// part integrates from one point to another by Gauss-Legendre, in one run of the program: all rows but one are points, the last is the
// end.
func (p *embeddingPath) part(ctx context.Context, from, to, before float64) (*pathPart, error) {
	n := p.batch - 1
	points, weights := make([]float64, n, n+1), make([]float64, n)
	quad.Legendre{}.FixedLocations(points, weights, from, to)
	values, gradients, err := p.at(ctx, append(points, to))
	if err != nil {
		return nil, err
	}
	out := &pathPart{from: from, to: to, before: before, after: values[n], scores: make([]float64, p.seq)}
	d := p.m.Spec.DModel
	for i, w := range weights {
		for t := range out.scores {
			for j := t * d; j < (t+1)*d; j++ {
				out.scores[t] += w * gradients[i][j] * (p.embedded[j] - p.start[j])
			}
		}
	}
	return out, nil
}

// embeddings are hook_embed of a prompt [t*d] and the baseline.
func embeddings(ctx context.Context, e *model.Engine, m *model.Model, ids []int32, baseline IGBaseline) (embedded, start []float64, err error) {
	site, d := model.Site{Kind: model.Embed}, m.Spec.DModel
	rows, err := ReadTokens(ctx, e, m, [][]int32{ids}, []model.Site{site}, 1)
	if err != nil {
		return nil, nil, err
	}
	embedded = rows.Sites[0].RawMatrix().Data
	start = make([]float64, len(embedded))
	if baseline == BaselineZero {
		return embedded, start, nil
	}
	table, err := weight(m, "W_E", m.Spec.Vocab, d)
	if err != nil {
		return nil, nil, err
	}
	scale := 1.0
	if m.Spec.EmbedScale != 0 {
		scale = m.Spec.EmbedScale
	}
	mean := columnMeans(table)
	for i := range start {
		start[i] = scale * mean[i%d]
	}
	return embedded, start, nil
}

// embeddingPath evaluates the target and its gradient at points of the path, a batch at a time.
type embeddingPath struct {
	m               *model.Model
	program         *model.Program
	batch, seq      int
	ids             []int32
	target          PromptTarget
	embedded, start []float64
}

func newEmbeddingPath(e *model.Engine, m *model.Model, ids []int32, target PromptTarget, batch int, embedded, start []float64) (*embeddingPath, error) {
	p := &embeddingPath{m: m, batch: batch, seq: len(ids), ids: ids, target: target, embedded: embedded, start: start}
	plan := model.Plan{Batch: batch, Seq: p.seq, Embeds: true, Gather: 1, Logits: model.LogitsAt, Objective: model.TokenLogits(batch, 1, 2), GradSites: []model.Site{{Kind: model.Embed}}}
	var err error
	if p.program, err = e.Compile(m.Spec, plan); err != nil {
		return nil, fmt.Errorf("vectors: integrated gradients: %w", err)
	}
	return p, nil
}

// at returns the target and its gradient [t*d] at points a of [0, 1].
func (p *embeddingPath) at(ctx context.Context, points []float64) (values []float64, gradients [][]float64, err error) {
	d := p.m.Spec.DModel
	for lo := 0; lo < len(points); lo += p.batch {
		part := points[lo:min(lo+p.batch, len(points))]
		input := make([]float32, 0, p.batch*p.seq*d)
		tokens, weights := make([]int32, 0, 2*p.batch), make([]float32, 0, 2*p.batch)
		for b := range p.batch {
			a := part[min(b, len(part)-1)]
			for i, x := range p.embedded {
				input = append(input, float32(p.start[i]+a*(x-p.start[i])))
			}
			tokens = append(tokens, p.target.Token, max(p.target.Against, 0))
			weights = append(weights, 1, 0)
			if p.target.Against >= 0 {
				weights[len(weights)-1] = -1
			}
		}
		in := model.Inputs{
			Input: tensors.FromFlatDataAndDimensions(input, p.batch, p.seq, d), IDs: slices.Repeat(p.ids, p.batch), Gather: slices.Repeat([]int32{int32(p.seq - 1)}, p.batch),
			Objective: map[string]*tensors.Tensor{"tokens": tensors.FromFlatDataAndDimensions(tokens, p.batch, 1, 2), "weights": tensors.FromFlatDataAndDimensions(weights, p.batch, 1, 2)},
		}
		err := readFlat(ctx, p.program, p.m, in, func(out *model.Outputs) error {
			logits, err := tensors.CopyFlatData[float32](out.Logits())
			if err != nil {
				return err
			}
			flat, err := tensors.CopyFlatData[float32](out.Grad(model.Site{Kind: model.Embed}))
			if err != nil {
				return err
			}
			v := p.m.Spec.Vocab
			for b := range part {
				values = append(values, p.target.of(logits[b*v:(b+1)*v]))
				gradients = append(gradients, float64s(flat[b*p.seq*d:(b+1)*p.seq*d]))
			}
			return nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("vectors: integrated gradients: %w", err)
		}
	}
	return values, gradients, nil
}
