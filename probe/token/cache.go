package token

import (
	"hash/maphash"
	"sync"
)

// wordCache remembers how words were merged. It is bounded: a full shard starts afresh.
type wordCache struct {
	seed   maphash.Seed
	shards [16]cacheShard
}

type cacheShard struct {
	mu    sync.RWMutex
	words map[string][]symbol
}

const (
	shardWords  = 4096 // words of one shard
	cachedBytes = 128  // longer words are not remembered
)

func newWordCache() *wordCache { return &wordCache{seed: maphash.MakeSeed()} }

func (c *wordCache) shard(word string) *cacheShard {
	return &c.shards[maphash.String(c.seed, word)%uint64(len(c.shards))]
}

func (c *wordCache) get(word string) ([]symbol, bool) {
	if len(word) > cachedBytes {
		return nil, false
	}
	s := c.shard(word)
	s.mu.RLock()
	symbols, ok := s.words[word]
	s.mu.RUnlock()
	return symbols, ok
}

// put keeps symbols, which must not change any more.
func (c *wordCache) put(word string, symbols []symbol) {
	if len(word) > cachedBytes {
		return
	}
	s := c.shard(word)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.words == nil || len(s.words) >= shardWords {
		s.words = make(map[string][]symbol)
	}
	// The word is a part of some long text, which the cache must not keep alive.
	s.words[string([]byte(word))] = append([]symbol(nil), symbols...)
}
