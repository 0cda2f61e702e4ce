package capture

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"loupe/probe/store"
)

// Stream computes what a capture would store and hands it to the caller instead, batch by batch in the same order. The text
// is tokenised ahead, and one batch is computed while the caller works on the one before. Close ends it.
type Stream struct {
	cancel  context.CancelFunc
	batches chan store.Batch
	next    chan struct{} // the caller is done with the batch that it has
	ended   chan error    // one value, when nothing more comes
	holds   bool          // the caller has a batch
	err     error         // why it has ended
}

// Stream begins at the start of the corpus or, with the State of a batch, after that batch. A split restricts it to the
// documents of that split.
func (c *Capture) Stream(ctx context.Context, split string, state []byte) (*Stream, error) {
	var from position
	if len(state) > 0 {
		if err := json.Unmarshal(state, &from); err != nil {
			return nil, fmt.Errorf("capture: position in the corpus: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{cancel: cancel, batches: make(chan store.Batch), next: make(chan struct{}), ended: make(chan error, 1)}
	p := &pipeline{Capture: c, w: streamWriter{s}, done: from.Counts, split: split}
	go func() { s.ended <- p.run(ctx, from) }()
	return s, nil
}

// Next returns the next batch; its values are good until Next is called again. It returns io.EOF at the end of the corpus.
func (s *Stream) Next() (store.Batch, error) {
	if s.err != nil {
		return store.Batch{}, s.err
	}
	if s.holds {
		s.holds = false
		select {
		case s.next <- struct{}{}:
		case s.err = <-s.ended:
			return store.Batch{}, s.over()
		}
	}
	select {
	case b := <-s.batches:
		s.holds = true
		return b, nil
	case s.err = <-s.ended:
		return store.Batch{}, s.over()
	}
}

// over remembers the end.
func (s *Stream) over() error {
	if s.err == nil {
		s.err = io.EOF
	}
	return s.err
}

// Close stops the stream and waits until nothing of it runs.
func (s *Stream) Close() {
	s.cancel()
	if s.err == nil {
		s.err = errors.Join(errors.New("capture: the stream is closed"), <-s.ended)
	}
}

// streamWriter is the pipeline's end.
type streamWriter struct{ s *Stream }

func (w streamWriter) Append(ctx context.Context, b store.Batch) error {
	select {
	case w.s.batches <- b:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-w.s.next:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (streamWriter) Finish(context.Context) error { return nil }
func (streamWriter) Close() error                 { return nil }

// Identity is a digest of everything that the values of the rows depend on but the corpus's text: configuration, model,
// tokenizer and backend.
func (c *Capture) Identity() (string, error) {
	cfg, err := c.recorded()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n", cfg, c.model.Digest, c.tok.Digest())
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ModelDigest is the digest of the model's weights.
func (c *Capture) ModelDigest() string { return c.model.Digest }

// CorpusName is the name of the corpus.
func (c *Capture) CorpusName() string { return c.corpus.Name() }

// CorpusDigest is the digest of the corpus's documents, for which it reads them all.
func (c *Capture) CorpusDigest() (string, error) {
	digest, err := c.corpus.Digest()
	if err != nil {
		return "", fmt.Errorf("capture: %w", err)
	}
	return digest, nil
}
