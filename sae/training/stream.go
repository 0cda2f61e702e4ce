package training

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"loupe/probe/capture"
	"loupe/probe/store"
	"loupe/sae"
)

// StreamConfig says how a [StreamSource] reads.
type StreamConfig struct {
	Select store.Select // of rows; Group and Label are not for streams
	Seed   uint64       // of the order
	Buffer int          // rows that are mixed with each other
	Once   bool         // end after the corpus, instead of beginning it again
}

// StreamSource is a [sae.Source] of the rows that a model computes over a corpus, without a store in between. Rows are mixed
// in a buffer: it is filled with the next rows in the order of a capture, permuted by seed, given out, and filled again.
// Each run through the corpus gives every row once.
//
// Its state is the place in the corpus where the buffer begins and the rows of it that were given out: Restore computes the
// buffer again, to the same bytes on the same backend.
type StreamSource struct {
	ctx      context.Context
	capture  *capture.Capture
	cfg      StreamConfig
	identity string
	sites    []sae.SourceSite

	at     place       // where the buffer begins
	filled bool        // the buffer is that of at
	rows   int         // in the buffer
	buffer [][]float32 // a site's rows
	order  []int32     // in which they are given out
	given  int         // rows given out

	stream *capture.Stream // stands after the buffer; nil: not begun
	left   store.Batch     // the stream's batch
	keep   []int32         // rows of it that are selected and not in a buffer yet
	end    place           // where the next buffer begins
}

// place is a place in the corpus.
type place struct {
	Epoch    int64           `json:"epoch"`
	Position json.RawMessage `json:"position,omitempty"` // of the capture, before a batch
	Skip     int             `json:"skip"`               // selected rows of that batch before the place
	Buffer   int64           `json:"buffer"`             // number of the buffer that begins here
}

// streamState is a source's state.
type streamState struct {
	Identity string `json:"identity"`
	place
	Given int `json:"given"`
}

// NewStreamSource returns a source of the token sites of c, at the start of the corpus. ctx ends the model's work. Close frees
// what it holds, but not c.
func NewStreamSource(ctx context.Context, c *capture.Capture, cfg StreamConfig) (*StreamSource, error) {
	if cfg.Select.Group != "" || cfg.Select.Label != "" {
		return nil, errors.New("training: a stream selects by split and special tokens; capture a store to select by group or label")
	}
	if cfg.Buffer < 1 {
		return nil, fmt.Errorf("training: buffer is %d rows; it must be at least 1", cfg.Buffer)
	}
	s := &StreamSource{ctx: ctx, capture: c, cfg: cfg}
	for _, site := range c.Sites() {
		if site.Per != store.Token {
			return nil, fmt.Errorf("training: site %s has one row per %s; sparse autoencoders train on token sites", site.Name, site.Per)
		}
		s.sites = append(s.sites, sae.SourceSite{Name: site.Name, Width: site.Dim()})
	}
	id, err := c.Identity()
	if err != nil {
		return nil, err
	}
	settings, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	s.identity = id + " " + string(settings)
	return s, nil
}

// Close ends the model's work.
func (s *StreamSource) Close() {
	if s.stream != nil {
		s.stream.Close()
		s.stream, s.keep = nil, nil
	}
}

// Sites implements [sae.Source].
func (s *StreamSource) Sites() []sae.SourceSite { return s.sites }

// Next implements [sae.Source].
func (s *StreamSource) Next(dst [][]float32) (int, error) {
	want := len(dst[0]) / s.sites[0].Width
	n := 0
	for n < want {
		if !s.filled || s.given == s.rows {
			if s.filled {
				s.at, s.given, s.filled = s.end, 0, false
			}
			if err := s.fill(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return n, err
			}
		}
		take := min(want-n, s.rows-s.given)
		for i, site := range s.sites {
			w := site.Width
			for r, from := range s.order[s.given : s.given+take] {
				copy(dst[i][(n+r)*w:(n+r+1)*w], s.buffer[i][int(from)*w:(int(from)+1)*w])
			}
		}
		s.given += take
		n += take
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// fill computes the buffer that begins at s.at. An epoch's last buffer may be short.
func (s *StreamSource) fill() error {
	if s.buffer == nil {
		for _, site := range s.sites {
			s.buffer = append(s.buffer, make([]float32, s.cfg.Buffer*site.Width))
		}
	}
	s.rows, s.end = 0, s.at
	for s.rows < s.cfg.Buffer {
		if len(s.keep) == 0 {
			err := s.advance()
			if errors.Is(err, io.EOF) {
				if s.rows > 0 {
					break
				}
				if s.at.Position == nil && s.at.Skip == 0 {
					return s.empty()
				}
				if s.cfg.Once {
					return io.EOF
				}
				s.Close()
				s.at = place{Epoch: s.at.Epoch + 1, Buffer: s.at.Buffer}
				s.end, s.left = s.at, store.Batch{}
				continue
			}
			if err != nil {
				return err
			}
		}
		take := min(len(s.keep), s.cfg.Buffer-s.rows)
		for i, site := range s.sites {
			w := site.Width
			for r, from := range s.keep[:take] {
				copy(s.buffer[i][(s.rows+r)*w:(s.rows+r+1)*w], s.left.Rows.Sites[i][int(from)*w:(int(from)+1)*w])
			}
		}
		s.rows += take
		s.keep = s.keep[take:]
		s.end.Skip += take
	}
	s.end.Buffer = s.at.Buffer + 1
	s.order = s.order[:0]
	for i := range s.rows {
		s.order = append(s.order, int32(i))
	}
	store.Permute(rand.NewPCG(s.cfg.Seed, uint64(s.at.Buffer)), s.order)
	if s.given > s.rows {
		return fmt.Errorf("training: cursor of the data: %d rows were given out of a buffer of %d; the corpus was changed", s.given, s.rows)
	}
	s.filled = true
	return nil
}

// advance takes the next batch of the stream, which it begins at s.at where there is none.
func (s *StreamSource) advance() error {
	skip := 0
	if s.stream == nil {
		var err error
		if s.stream, err = s.capture.Stream(s.ctx, s.cfg.Select.Split, s.end.Position); err != nil {
			return err
		}
		skip = s.end.Skip
	} else {
		s.end.Position, s.end.Skip = bytes.Clone(s.left.State), 0
	}
	var err error
	if s.left, err = s.stream.Next(); err != nil {
		return err
	}
	s.keep = s.keep[:0]
	for i, row := range s.left.Rows.Take {
		if s.cfg.Select.Takes(s.left.Rows.Pos[i], s.left.Rows.Token[i], s.left.Rows.Special[i]) {
			s.keep = append(s.keep, row)
		}
	}
	if skip > len(s.keep) {
		return fmt.Errorf("training: the cursor of the data skips %d rows of a batch of %d; the corpus or the model was changed", skip, len(s.keep))
	}
	s.keep = s.keep[skip:]
	return nil
}

// empty is the error for a corpus without a selected row.
func (s *StreamSource) empty() error {
	if s.cfg.Select.Split != "" {
		return fmt.Errorf("training: the corpus has no rows of split %q; name another, or see corpus.held_out", s.cfg.Select.Split)
	}
	return errors.New("training: the corpus has no rows; give it text")
}

// State implements [sae.Source].
func (s *StreamSource) State() ([]byte, error) {
	st := streamState{Identity: s.identity, place: s.at, Given: s.given}
	if s.filled && s.given == s.rows { // the buffer is used up: no need to compute it again
		st.place, st.Given = s.end, 0
	}
	return json.Marshal(st)
}

// Restore implements [sae.Source]. What the buffer holds is computed again when it is needed, unless it is the same.
func (s *StreamSource) Restore(state []byte) error {
	var st streamState
	if err := json.Unmarshal(state, &st); err != nil {
		return fmt.Errorf("training: cursor of the data: %w", err)
	}
	switch {
	case st.Identity != s.identity:
		return fmt.Errorf("training: cursor of the data: it was saved for %s and the model and settings here are %s; use those it was saved with", st.Identity, s.identity)
	case st.Given < 0 || st.Given > s.cfg.Buffer || st.Skip < 0 || st.Epoch < 0 || st.Buffer < 0:
		return fmt.Errorf("training: cursor of the data: %s lies outside a buffer of %d rows", state, s.cfg.Buffer)
	}
	s.given = st.Given
	if s.filled && st.Epoch == s.at.Epoch && st.Buffer == s.at.Buffer && st.Skip == s.at.Skip && bytes.Equal(st.Position, s.at.Position) {
		return nil
	}
	s.Close()
	s.at, s.end, s.left, s.filled = st.place, st.place, store.Batch{}, false
	return nil
}
