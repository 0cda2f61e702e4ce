package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"loupe/internal/progress"
	"loupe/probe/model"
	"loupe/probe/store"
)

// RunOptions say how Run goes about it; they change nothing in the store.
type RunOptions struct {
	// Resume goes on with an unfinished store; a folder that is not there is begun.
	Resume bool
	// Progress makes a display for about total tokens; nil shows nothing.
	Progress func(total int64) progress.Progress

	wrap func(writer) writer // tests put a failing writer here
}

// writer is the store's.
type writer interface {
	Append(ctx context.Context, b store.Batch) error
	Finish(ctx context.Context) error
	Close() error
}

// Summary says what a capture did. Counts are of the whole store, also when it was resumed.
type Summary struct {
	Store string `json:"store"`
	Counts
	Padding         float64  `json:"padding"`         // share of Cells that are padding
	Bytes           int64    `json:"bytes"`           // of the store's shards
	Labels          []string `json:"labels"`          // label columns of the store
	LeftOut         []string `json:"labels_left_out"` // labels with too many classes to be kept unasked
	Shards          int      `json:"shards"`
	RowDigest       string   `json:"row_digest"`
	Compiles        int      `json:"compiles"`          // in this process
	Seconds         float64  `json:"seconds"`           // in this process, compiles included
	TokensPerSecond float64  `json:"tokens_per_second"` // in this process, compiles left out
	Resumed         bool     `json:"resumed"`
	AlreadyComplete bool     `json:"already_complete"`
}

// result is a computed batch on its way to the store. A window without a batch has one result without outputs.
type result struct {
	win   *window
	index int // of the batch in the window
	out   *model.Outputs
}

// Run captures the corpus into the configured store. On an error, a cancelled context included, the store is left
// unfinished with what was safe by then, and Run with Resume goes on from there to the same bytes.
func (c *Capture) Run(ctx context.Context, opt RunOptions) (Summary, error) {
	start := time.Now()
	sum := Summary{Store: c.cfg.Store}
	if err := c.cfg.Validate(); err != nil {
		return sum, err
	}
	scanned, err := scanCorpus(ctx, c.corpus, &c.cfg, c.maxLength)
	if err != nil {
		return sum, err
	}
	sum.Labels, sum.LeftOut = scanned.labels, scanned.wide
	spec, err := c.storeSpec(scanned)
	if err != nil {
		return sum, err
	}
	w, from, resumed, err := c.openStore(spec, opt.Resume)
	if errors.Is(err, store.ErrComplete) && opt.Resume {
		sum.AlreadyComplete = true
		return sum, c.describe(&sum)
	}
	if err != nil {
		return sum, err
	}
	if opt.wrap != nil {
		w = opt.wrap(w)
	}
	compiles := c.engine.Compiles()
	p := &pipeline{Capture: c, scan: scanned, w: w, done: from.Counts, show: opt.Progress}
	err = p.run(ctx, from)
	if err == nil && p.done.Documents == 0 {
		err = fmt.Errorf("capture: max_tokens %d is less than the first document has; raise it", c.cfg.MaxTokens)
	}
	if err == nil {
		err = w.Finish(ctx)
	}
	if closing := w.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return sum, stopped(c.cfg.Store, err)
	}
	sum.Counts, sum.Resumed, sum.Compiles = p.done, resumed, c.engine.Compiles()-compiles
	sum.Seconds = time.Since(start).Seconds()
	if computing := time.Since(p.began) - p.compiling; p.done.Tokens > from.Counts.Tokens {
		sum.TokensPerSecond = float64(p.done.Tokens-from.Counts.Tokens) / computing.Seconds()
	}
	return sum, c.describe(&sum)
}

// stopped says what is left of a capture that ended early.
func stopped(dir string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("capture: stopped: %w; the store %s is unfinished, --resume goes on with it", err, dir)
	}
	return fmt.Errorf("%w (the store %s is unfinished; --resume goes on with it once the cause is mended)", err, dir)
}

// pipeline reads, computes and stores at the same time.
type pipeline struct {
	*Capture
	scan  scan
	w     writer
	show  func(int64) progress.Progress
	split string // of the documents to read; "": all

	done      Counts        // the storing goroutine's
	began     time.Time     // when the first window was there
	compiling time.Duration // spent in compiles
}

func (p *pipeline) run(parent context.Context, from position) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	windows, results := make(chan *window, 1), make(chan result)
	shown := make(chan progress.Progress, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(windows)
		r := p.reader(p.scan.labels)
		r.split = p.split
		cancelOn(cancel, r.read(ctx, from, func(w *window) error {
			select {
			case windows <- w:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}))
	})
	wg.Go(func() {
		bar := progress.New(progress.Options{Quiet: true})
		for r := range results {
			select {
			case bar = <-shown:
			default:
			}
			if ctx.Err() == nil {
				cancelOn(cancel, p.store(ctx, r))
				if r.out != nil {
					bar.Add(int64(r.win.batches[r.index].tokens()))
				}
			}
			if r.out != nil {
				cancelOn(cancel, r.out.Free())
			}
		}
		bar.Done()
	})
	cancelOn(cancel, p.compute(ctx, from, windows, results, shown))
	close(results)
	for range windows { // let the reader end
	}
	wg.Wait()
	return context.Cause(ctx)
}

func cancelOn(cancel context.CancelCauseFunc, err error) {
	if err != nil {
		cancel(err)
	}
}

// compute runs the model over every batch from a position on.
func (p *pipeline) compute(ctx context.Context, from position, windows <-chan *window, results chan<- result, shown chan<- progress.Progress) error {
	send := func(r result) error {
		select {
		case results <- r:
			return nil
		case <-ctx.Done():
			if r.out != nil {
				_ = r.out.Free() // the capture has failed already
			}
			return context.Cause(ctx)
		}
	}
	first := true
	for w := range windows {
		if first {
			p.began = time.Now()
			if p.show != nil {
				shown <- p.show(p.estimate(w).Tokens - from.Tokens)
			}
		}
		skip := 0
		if first {
			skip, first = from.Batch, false
		}
		if len(w.batches) == 0 {
			if err := send(result{win: w}); err != nil {
				return err
			}
		}
		for i := skip; i < len(w.batches); i++ {
			out, err := p.forward(ctx, &w.batches[i])
			if err != nil {
				return err
			}
			if err := send(result{win: w, index: i, out: out}); err != nil {
				return err
			}
		}
	}
	return nil
}

// forward computes one batch.
func (p *pipeline) forward(ctx context.Context, x *batch) (*model.Outputs, error) {
	start, compiles := time.Now(), p.engine.Compiles()
	program, err := p.program(x)
	if err != nil {
		return nil, err
	}
	if p.engine.Compiles() > compiles {
		p.compiling += time.Since(start)
	}
	out, err := program.Run(ctx, p.model.Params, x.inputs(p.model.Spec, p.columns(), p.cfg.Packing))
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return out, nil
}

// store hands a batch to the store, with the position after it.
func (p *pipeline) store(ctx context.Context, r result) error {
	at := r.win.next
	if r.index+1 < len(r.win.batches) {
		at = r.win.from
		at.Batch = r.index + 1
	}
	var b store.Batch
	if r.index == 0 {
		b.Docs = r.win.docs
		p.done.Documents += int64(len(r.win.docs))
		p.done.Empty += r.win.empty
		p.done.Truncated += r.win.cut
	}
	if r.out == nil {
		return p.append(ctx, b, at)
	}
	x := &r.win.batches[r.index]
	if len(p.token) > 0 {
		b.Rows = x.rows(r.win.docs, p.cfg.SpecialRows)
	}
	if len(p.example) > 0 {
		b.Examples = x.examples(r.win.docs)
	}
	p.done.Batches++
	p.done.Sequences += int64(len(x.seqs))
	p.done.Tokens += int64(x.tokens())
	p.done.Cells += int64(x.b * x.t)
	p.done.Rows += int64(len(b.Rows.Doc))
	p.done.Examples += int64(len(b.Examples.Doc))
	captures := p.captures()
	return withViews(r.out, captures, nil, func(views [][]float32) error {
		for _, c := range p.token {
			b.Rows.Sites = append(b.Rows.Sites, views[slices.Index(captures, c.capture)])
		}
		for _, c := range p.example {
			view := views[slices.Index(captures, c.capture)]
			b.Examples.Sites = append(b.Examples.Sites, exampleValues(c, view, len(x.seqs)))
		}
		return p.append(ctx, b, at)
	})
}

func (p *pipeline) append(ctx context.Context, b store.Batch, at position) error {
	at.Counts = p.done
	var err error
	if b.State, err = json.Marshal(at); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if err := p.w.Append(ctx, b); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}
