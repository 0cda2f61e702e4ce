package token

import "container/heap"

// node is a symbol in the doubly linked list of a word under merging.
type node struct {
	symbol
	prev, next int32 // -1: none
}

// candidate is a pair that can be merged: the place of its left symbol, its rank and the symbol that it becomes.
type candidate struct {
	rank, at, id int32
}

// candidates is a heap: lowest rank first, then from the left.
type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// shortWord is the number of symbols up to which looking at every pair beats a heap.
const shortWord = 24

// mergeAll merges pairs until none has a rank.
func (m *bpe) mergeAll(symbols []symbol) []symbol {
	if len(symbols) <= shortWord {
		return m.mergeShort(symbols)
	}
	nodes := make([]node, len(symbols))
	queue := make(candidates, 0, len(symbols))
	for i, s := range symbols {
		nodes[i] = node{s, int32(i) - 1, int32(i) + 1}
	}
	nodes[len(nodes)-1].next = -1
	found := func(i int32) (candidate, bool) {
		if i < 0 || nodes[i].next < 0 {
			return candidate{}, false
		}
		to, ok := m.merges[pair{nodes[i].id, nodes[nodes[i].next].id}]
		return candidate{to.rank, i, to.id}, ok
	}
	for i := range nodes {
		if c, ok := found(int32(i)); ok {
			queue = append(queue, c)
		}
	}
	heap.Init(&queue)
	for len(queue) > 0 {
		top := heap.Pop(&queue).(candidate)
		// The pair may have changed or gone since it was queued.
		if now, ok := found(top.at); nodes[top.at].size == 0 || !ok || now.id != top.id {
			continue
		}
		left := &nodes[top.at]
		right := nodes[left.next]
		nodes[left.next].size = 0
		left.id = top.id
		left.size += right.size
		left.next = right.next
		if right.next >= 0 {
			nodes[right.next].prev = top.at
		}
		for _, i := range []int32{left.prev, top.at} {
			if c, ok := found(i); ok {
				heap.Push(&queue, c)
			}
		}
	}
	out := symbols[:0]
	for i := int32(0); i >= 0; i = nodes[i].next {
		out = append(out, nodes[i].symbol)
	}
	return out
}

// mergeShort is mergeAll for words of few symbols.
func (m *bpe) mergeShort(symbols []symbol) []symbol {
	var known [shortWord]merge // known[i] is the merge of symbols i and i+1; rank -1: none
	find := func(i int) {
		known[i].rank = -1
		if i+1 < len(symbols) {
			if to, ok := m.merges[pair{symbols[i].id, symbols[i+1].id}]; ok {
				known[i] = to
			}
		}
	}
	for i := range symbols {
		find(i)
	}
	for {
		best := -1
		for i := 0; i+1 < len(symbols); i++ {
			if known[i].rank >= 0 && (best < 0 || known[i].rank < known[best].rank) {
				best = i
			}
		}
		if best < 0 {
			return symbols
		}
		symbols[best] = symbol{known[best].id, symbols[best].size + symbols[best+1].size}
		symbols = append(symbols[:best+1], symbols[best+2:]...)
		copy(known[best+1:], known[best+2:])
		find(best)
		if best > 0 {
			find(best - 1)
		}
	}
}
