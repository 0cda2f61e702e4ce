package text

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"sync"
	"unicode/utf8"
)

// ErrEmpty is the error of a corpus that yields no document.
var ErrEmpty = errors.New("no documents")

// limited applies sampling, limits and the split to a source. It is the Corpus that Open returns.
type limited struct {
	src source
	cfg CorpusConfig

	mu     sync.Mutex
	digest string // set when a pass has reached the end
}

func (l *limited) Name() string { return l.src.name() }

// Digest implements Corpus.
func (l *limited) Digest() (string, error) {
	l.mu.Lock()
	digest := l.digest
	l.mu.Unlock()
	if digest != "" {
		return digest, nil
	}
	return l.pass(context.Background(), func(Doc) bool { return true })
}

// Docs implements Corpus.
func (l *limited) Docs(ctx context.Context) iter.Seq2[Doc, error] {
	return func(yield func(Doc, error) bool) {
		stopped := false
		_, err := l.pass(ctx, func(d Doc) bool {
			stopped = !yield(d, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(Doc{}, err)
		}
	}
}

// pass goes once over the documents that remain and returns their digest, unless emit stopped it.
func (l *limited) pass(ctx context.Context, emit emit) (string, error) {
	var (
		sum        = newDigester()
		id         = int64(-1)
		kept       int
		chars      int64
		stopped    bool
		unfinished error
	)
	err := l.src.each(ctx, func(d Doc) bool {
		if unfinished = ctx.Err(); unfinished != nil {
			return false
		}
		id++
		d.ID = id
		n, keep := l.cfg.shape(&d)
		if !keep {
			return true
		}
		if l.cfg.MaxChars > 0 && chars+int64(n) > l.cfg.MaxChars {
			return false
		}
		kept++
		chars += int64(n)
		sum.add(d)
		stopped = !emit(d)
		return !stopped && (l.cfg.MaxDocs == 0 || kept < l.cfg.MaxDocs)
	})
	switch {
	case err != nil:
		return "", err
	case unfinished != nil:
		return "", fmt.Errorf("text: corpus %s: %w", l.Name(), unfinished)
	case stopped:
		return "", nil
	case kept == 0:
		return "", fmt.Errorf("text: corpus %s: %w (%d read, all left out); check the path, min_chars, max_chars and sample", l.Name(), ErrEmpty, id+1)
	}
	digest := sum.hex()
	l.mu.Lock()
	l.digest = digest
	l.mu.Unlock()
	return digest, nil
}

// shape applies sampling, length limits and the split to one document. n is its length in code points.
func (c CorpusConfig) shape(d *Doc) (n int, keep bool) {
	if strings.TrimSpace(d.Text) == "" {
		return 0, false
	}
	if n = utf8.RuneCountInString(d.Text); n < c.MinChars {
		return n, false
	}
	if c.Sample < 1 && unit(c.Seed, "sample", d.Text) >= c.Sample {
		return n, false
	}
	if c.HeldOut > 0 {
		key := d.Text
		if c.SplitBy == "group" {
			key = d.Group
		}
		d.Split = Train
		if unit(c.Seed, "split", key) < c.HeldOut {
			d.Split = HeldOut
		}
	}
	if c.DocChars > 0 && n > c.DocChars {
		d.Text, n = d.Text[:byteOffset(d.Text, c.DocChars)], c.DocChars
	}
	return n, true
}

// unit hashes seed, purpose and key to a number in [0, 1): the first 53 bits of a SHA-256.
func unit(seed int64, purpose, key string) float64 {
	return float64(seededHash(seed, purpose, key)>>11) * math.Pow(2, -53)
}

// seededHash is the first 64 bits of the SHA-256 of seed, purpose and key.
func seededHash(seed int64, purpose, key string) uint64 {
	h := sha256.New()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(seed))
	h.Write(b[:])
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write([]byte(key))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// byteOffset is the byte offset of code point n of s.
func byteOffset(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
