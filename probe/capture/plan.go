package capture

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"loupe/probe/store"
)

// Plan says what a capture would do and cost. What depends on the text is estimated from the first window of
// documents, and exact where that is the whole corpus.
type Plan struct {
	Model      string     `json:"model"`
	Digest     string     `json:"model_digest"`
	Family     string     `json:"family"`
	Backend    string     `json:"backend"`
	Layers     int        `json:"layers"`          // computed
	OfLayers   int        `json:"of_layers"`       // the model has
	Corpus     string     `json:"corpus"`          // name
	Documents  int64      `json:"documents"`       // of the corpus
	Sampled    int64      `json:"sampled"`         // documents that were tokenised for the estimate
	Exact      bool       `json:"exact"`           // the sample is the whole
	MaxLength  int        `json:"max_length"`      // tokens of a sequence
	Buckets    []int      `json:"buckets"`         // padded lengths
	Sites      []SitePlan `json:"sites"`           // columns of the store
	Labels     []string   `json:"labels"`          // label columns of the store
	LeftOut    []string   `json:"labels_left_out"` // labels with too many classes to be kept unasked
	Estimate   Estimate   `json:"estimate"`        // of the whole capture
	Bytes      int64      `json:"bytes"`           // on disk
	BatchBytes int64      `json:"batch_bytes"`     // captured values of one batch in memory
	Measured   float64    `json:"measured"`        // seconds of one batch, compiled
	MeasuredOn []int      `json:"measured_on"`     // rows and length of that batch
	PerSecond  float64    `json:"tokens_per_s"`    // at that speed
	Seconds    float64    `json:"seconds"`         // of the whole capture, compiles included
}

// SitePlan is a column of the store.
type SitePlan struct {
	Site  string `json:"site"`
	Per   string `json:"per"`
	Shape []int  `json:"shape"`
	DType string `json:"dtype"`
	Bytes int64  `json:"bytes"` // of the whole column
}

// Estimate counts what a capture computes.
type Estimate struct {
	Sequences int64   `json:"sequences"`
	Tokens    int64   `json:"tokens"`
	Rows      int64   `json:"rows"`
	Examples  int64   `json:"examples"`
	Cells     int64   `json:"cells"`
	Padding   float64 `json:"padding"` // share of cells
	FLOPs     float64 `json:"flops"`
	Compiles  int     `json:"compiles"`
}

// layers is the number of the model's layers that the columns need.
func (c *Capture) layers() int { return modelPlan(c.model.Spec, c.columns(), 1, 1, "").To }

// estimate scales a window's counts to the whole corpus, by its text.
func (p *pipeline) estimate(w *window) Estimate {
	scale := 1.0
	if w.chars > 0 && p.scan.docs > w.from.Docs+int64(len(w.docs)) {
		scale = float64(p.scan.chars) / float64(w.chars)
	}
	if limit := p.cfg.MaxTokens; limit > 0 && w.tokens > 0 {
		scale = min(scale, float64(limit)/float64(w.tokens))
	}
	var e Estimate
	shapes := map[int]bool{}
	rows, examples := 0, 0
	for i := range w.batches {
		x := &w.batches[i]
		shapes[x.t] = true
		e.Sequences += int64(len(x.seqs))
		e.Cells += int64(x.b * x.t)
		e.FLOPs += scale * flops(p.model.Spec, p.layers(), x.b, x.t)
		if len(p.token) > 0 {
			rows += len(x.rows(w.docs, p.cfg.SpecialRows).Doc)
		}
		if len(p.example) > 0 {
			examples += len(x.seqs)
		}
	}
	if e.Cells > 0 {
		e.Padding = 1 - float64(w.tokens)/float64(e.Cells)
	}
	whole := func(n int64) int64 { return int64(math.Round(scale * float64(n))) }
	e.Sequences, e.Cells, e.Tokens = whole(e.Sequences), whole(e.Cells), whole(w.tokens)
	e.Rows, e.Examples, e.Compiles = whole(int64(rows)), whole(int64(examples)), len(shapes)
	return e
}

// Plan reads the corpus, tokenises its first window, computes one batch and says what the whole would cost. It writes
// nothing.
func (c *Capture) Plan(ctx context.Context) (Plan, error) {
	p := &pipeline{Capture: c}
	var err error
	if p.scan, err = scanCorpus(ctx, c.corpus, &c.cfg, c.maxLength); err != nil {
		return Plan{}, err
	}
	w, err := p.firstWindow(ctx)
	if err != nil {
		return Plan{}, err
	}
	out := Plan{
		Model: c.ModelID(), Digest: c.model.Digest, Family: c.model.Spec.Family, Backend: c.engine.Backend().String(),
		Layers: c.layers(), OfLayers: c.model.Spec.Layers, Corpus: c.corpus.Name(), Documents: p.scan.docs,
		Sampled: int64(len(w.docs)), Exact: int64(len(w.docs)) == p.scan.docs, MaxLength: c.maxLength, Buckets: c.buckets,
		Labels: p.scan.labels, LeftOut: p.scan.wide, Estimate: p.estimate(w),
	}
	p.size(&out)
	if len(w.batches) == 0 {
		return out, nil
	}
	compile, run, err := p.measure(ctx, &w.batches[0])
	if err != nil {
		return out, err
	}
	x := &w.batches[0]
	out.Measured, out.MeasuredOn = run.Seconds(), []int{x.b, x.t}
	computing := out.Measured * out.Estimate.FLOPs / flops(c.model.Spec, out.Layers, x.b, x.t)
	out.PerSecond = float64(out.Estimate.Tokens) / computing
	out.Seconds = computing + compile.Seconds()*float64(out.Estimate.Compiles)
	return out, nil
}

// errEnough ends a reading that has what it wanted.
var errEnough = errors.New("enough")

// firstWindow reads the first window alone.
func (p *pipeline) firstWindow(ctx context.Context) (*window, error) {
	var first *window
	err := p.reader(p.scan.labels).read(ctx, position{}, func(w *window) error {
		first = w
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	if first == nil {
		return nil, fmt.Errorf("capture: max_tokens %d is less than the first document has; raise it", p.cfg.MaxTokens)
	}
	return first, nil
}

// size fills in what the columns take in memory and on disk.
func (p *pipeline) size(out *Plan) {
	const columns = 41 // bytes of a token row beside its activations
	e := out.Estimate
	for _, x := range p.columns() {
		n, width := e.Rows, int64(4)
		if x.site.DType == store.Float16 {
			width = 2
		}
		if x.site.Per == store.Example {
			n = e.Examples
		}
		s := SitePlan{Site: x.site.Name, Per: string(x.site.Per), Shape: x.site.Shape, DType: string(x.site.DType), Bytes: n * width * int64(x.site.Dim())}
		out.Sites = append(out.Sites, s)
		out.Bytes += s.Bytes
		per := int64(p.cfg.BatchTokens)
		if x.site.Per == store.Example {
			per = int64(rowsOf(p.cfg.BatchTokens, p.buckets[0]))
		}
		out.BatchBytes += 4 * per * int64(x.site.Dim())
	}
	out.Bytes += e.Rows*columns + e.Examples*16
}

// measure times the compile of a batch and its second run.
func (p *pipeline) measure(ctx context.Context, x *batch) (compile, run time.Duration, err error) {
	for range 2 {
		start := time.Now()
		out, err := p.forward(ctx, x)
		if err != nil {
			return 0, 0, err
		}
		run = time.Since(start)
		if err := out.Free(); err != nil {
			return 0, 0, fmt.Errorf("capture: %w", err)
		}
	}
	return p.compiling, run, nil
}
