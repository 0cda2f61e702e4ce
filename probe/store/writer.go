package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// Writer fills a store. Append copies rows into record batches, and one goroutine writes them, so that the caller
// computes while the disk works. A Writer serves one goroutine.
type Writer struct {
	dir     string
	lock    *os.File
	man     *Manifest // after start, the sink's until it has stopped
	tables  [2]*table // token, example
	open    [2]*block
	free    [2]chan *block
	classes *classIndex
	docs    []Doc // of the current shard
	staged  int64 // bytes of the current shard
	state   []byte
	held    []*block // the first shard, until the float16 scales are chosen
	holding bool
	// heldBytes counts what held will take on disk.
	heldBytes int64
	create    func(string) (output, error)

	jobs   chan job
	done   chan struct{}
	mu     sync.Mutex
	err    error
	closed bool
}

// job is a full record batch, or the end of a shard.
type job struct {
	block *block
	end   *shardEnd
}

type shardEnd struct {
	docs  []Doc
	state []byte
}

// buffers is the number of record batches in memory for each table: one being filled, one waiting, one being written.
const buffers = 3

// maxHeld bounds the part of the first shard from which float16 scales are chosen.
const maxHeld = 4 * defaultShard

// ErrComplete says that a store has been finished and takes no more rows.
var ErrComplete = errors.New("the store is complete")

// Create begins a store in dir, which must not exist or be empty.
func Create(dir string, spec Spec) (*Writer, error) {
	if err := spec.setDefaults(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("store: %s is not empty; resume it if it holds an unfinished store, or choose another folder", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	spec.Sites = slices.Clone(spec.Sites) // the writer fills in scales
	m := &Manifest{Format: FormatVersion, Spec: spec, Shards: []Shard{}}
	m.TokenBatch, m.ExampleBatch = newTable(Token, spec.Sites).batchRows(), newTable(Example, spec.Sites).batchRows()
	if err := m.save(dir); err != nil {
		lock.Close()
		return nil, err
	}
	w := newWriter(dir, lock, m)
	w.start(newSink(w))
	return w, nil
}

func (s *Spec) setDefaults() error {
	if s.ShardBytes == 0 {
		s.ShardBytes = defaultShard
	}
	if s.Moments.MaxCross == 0 {
		s.Moments.MaxCross = defaultMaxCross
	}
	if len(s.Config) > 0 && !json.Valid(s.Config) {
		return errors.New("the config is not valid JSON")
	}
	return s.check()
}

func newWriter(dir string, lock *os.File, m *Manifest) *Writer {
	w := &Writer{
		dir: dir, lock: lock, man: m, create: createFile,
		tables:  [2]*table{newTable(Token, m.Sites), newTable(Example, m.Sites)},
		classes: newClassIndex(m.Labels, !m.Moments.Off),
		jobs:    make(chan job, 1), done: make(chan struct{}),
	}
	for i := range w.free {
		w.free[i] = make(chan *block, buffers)
		for range buffers {
			w.free[i] <- nil // allocated when first needed
		}
	}
	for _, s := range m.Sites {
		w.holding = w.holding || s.DType == Float16 && s.Scale == 0
	}
	return w
}

// Append adds a batch. When the current shard has reached its size the batch ends it. An error, of this or an earlier
// batch, is final: Close the writer and Resume. NaN and infinity are errors that name site, document and position.
func (w *Writer) Append(ctx context.Context, b Batch) error {
	if w.closed {
		return errors.New("store: append to a closed writer")
	}
	if err := w.failure(); err != nil {
		return err
	}
	if err := w.append(ctx, b); err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *Writer) append(ctx context.Context, b Batch) error {
	if len(b.State) > 0 && !json.Valid(b.State) {
		return errors.New("store: the state is not valid JSON")
	}
	for _, d := range b.Docs {
		if err := w.classes.add(d); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if d.Digest == "" {
			d.Digest = textDigest(d.Text)
		}
		if !w.man.KeepText {
			d.Text = ""
		}
		w.docs = append(w.docs, d)
	}
	for i, s := range []source{b.Rows.source(), b.Examples.source()} {
		if err := w.stage(ctx, i, s); err != nil {
			return err
		}
	}
	w.state = append([]byte(nil), b.State...)
	if w.staged >= w.man.ShardBytes {
		return w.endShard(ctx)
	}
	return nil
}

// stage copies the rows of one table into record batches and hands over the full ones.
func (w *Writer) stage(ctx context.Context, i int, s source) error {
	t := w.tables[i]
	n, err := s.check(t)
	if err != nil {
		return fmt.Errorf("store: append %s rows: %w", t.per, err)
	}
	for from := 0; from < n; {
		if w.open[i] == nil {
			if w.open[i], err = w.block(ctx, i); err != nil {
				return err
			}
		}
		b := w.open[i]
		k, err := b.fill(s, from, w.classes)
		if err != nil {
			return fmt.Errorf("store: append %s rows: %w", t.per, err)
		}
		from += k
		w.staged += int64(k) * t.rowBytes()
		if b.n == len(b.tuple) {
			w.open[i] = nil
			if err := w.send(ctx, job{block: b}); err != nil {
				return err
			}
		}
	}
	return nil
}

// block returns an empty block, waiting for one to be written where all are in use.
func (w *Writer) block(ctx context.Context, i int) (*block, error) {
	if w.holding {
		return newBlock(w.tables[i], w.man.batchRows(w.tables[i].per)), nil
	}
	select {
	case b := <-w.free[i]:
		if b == nil {
			b = newBlock(w.tables[i], w.man.batchRows(w.tables[i].per))
		}
		b.n = 0
		return b, nil
	case <-w.done:
		return nil, w.failure()
	case <-ctx.Done():
		return nil, fmt.Errorf("store: %w", context.Cause(ctx))
	}
}

func (w *Writer) send(ctx context.Context, j job) error {
	if w.holding && j.block != nil {
		w.held = append(w.held, j.block)
		if w.heldBytes += int64(j.block.n) * j.block.table.rowBytes(); w.heldBytes >= maxHeld {
			return w.release(ctx)
		}
		return nil
	}
	select {
	case w.jobs <- j:
		return nil
	case <-w.done:
		return w.failure()
	case <-ctx.Done():
		return fmt.Errorf("store: %w", context.Cause(ctx))
	}
}

// endShard hands over what is staged and asks for the shard's files to be finished.
func (w *Writer) endShard(ctx context.Context) error {
	for i, b := range w.open {
		if b != nil {
			w.open[i] = nil
			if err := w.send(ctx, job{block: b}); err != nil {
				return err
			}
		}
	}
	if err := w.release(ctx); err != nil {
		return err
	}
	end := &shardEnd{docs: w.docs, state: w.state}
	w.docs, w.staged = nil, 0
	return w.send(ctx, job{end: end})
}

// release chooses the float16 scales from the blocks held back, and hands those over.
func (w *Writer) release(ctx context.Context) error {
	if !w.holding {
		return nil
	}
	w.holding = false
	for i, s := range w.man.Sites {
		if s.DType != Float16 || s.Scale != 0 {
			continue
		}
		top := float32(0)
		for _, b := range w.held {
			for j, t := range b.table.sites {
				if t.Name == s.Name {
					top = max(top, maxAbs(b.x[j][:b.n*t.Dim()]))
				}
			}
		}
		w.man.Sites[i].Scale = chooseScale(top) // the sink has had no job yet
	}
	for i, t := range w.tables {
		*w.tables[i] = *newTable(t.per, w.man.Sites)
	}
	for _, b := range w.held {
		if err := w.send(ctx, job{block: b}); err != nil {
			return err
		}
	}
	w.held = nil
	return nil
}

func (w *Writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// fail keeps the first error; the goroutine that writes drops what follows it.
func (w *Writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && err != nil {
		w.err = err
	}
	return w.err
}

// Finish ends the last shard, writes docs.arrow and the moments, and marks the store complete. It closes the writer.
func (w *Writer) Finish(ctx context.Context) error {
	if w.closed {
		return errors.New("store: finish a closed writer")
	}
	err := w.failure()
	if err == nil && (w.staged > 0 || len(w.docs) > 0) {
		err = w.endShard(ctx)
	}
	if err != nil {
		w.fail(err)
	}
	return w.stop(true)
}

// Close ends the writing without marking the store complete, and returns the error that stopped it, if one did.
// Rows after the last finished shard are lost; Resume continues from there. After Finish, Close does nothing.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	return w.stop(false)
}

// stop waits for the goroutine that writes; with complete it finishes the store if nothing has failed.
func (w *Writer) stop(complete bool) error {
	w.closed = true
	if complete && w.failure() == nil {
		select {
		case w.jobs <- job{}: // neither a block nor a shard's end: the whole is done
		case <-w.done:
		}
	}
	close(w.jobs)
	<-w.done
	w.lock.Close()
	return w.failure()
}
