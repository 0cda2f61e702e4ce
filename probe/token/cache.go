package token

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
)

// cachedModel remembers the tokens of words. It is bounded: a full shard starts afresh.
type cachedModel struct {
	model
	seed   maphash.Seed
	shards [16]cacheShard
}

type cacheShard struct {
	mu    sync.RWMutex
	words map[string][]unit
}

const (
	shardWords  = 4096 // words of one shard
	cachedBytes = 128  // longer words are not remembered
)

func newCachedModel(m model) *cachedModel { return &cachedModel{model: m, seed: maphash.MakeSeed()} }

func (c *cachedModel) tokenize(word string, out []unit) ([]unit, error) {
	if len(word) > cachedBytes {
		return c.model.tokenize(word, out)
	}
	s := &c.shards[maphash.String(c.seed, word)%uint64(len(c.shards))]
	s.mu.RLock()
	units, ok := s.words[word]
	s.mu.RUnlock()
	if ok {
		return append(out, units...), nil
	}
	first := len(out)
	out, err := c.model.tokenize(word, out)
	if err != nil {
		return nil, err
	}
	s.put(word, out[first:])
	return out, nil
}

// put keeps copies: word is a part of some long text, which the cache must not keep alive.
func (s *cacheShard) put(word string, units []unit) {
	units = slices.Clone(units)
	for i := range units {
		units[i].text = strings.Clone(units[i].text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.words == nil || len(s.words) >= shardWords {
		s.words = make(map[string][]unit)
	}
	s.words[strings.Clone(word)] = units
}
