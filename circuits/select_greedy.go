package circuits

import (
	"container/heap"
	"math"
)

// Greedy grows a circuit from the logits: n times it takes the edge of largest |score| whose receiver belongs to a node that is
// already in. Every edge but those of nodes that nothing enters lies on a path to the logits.
func Greedy(g *EdgeGraph, scores []float64, n int) *Circuit {
	c := NewCircuit(g)
	queue := &candidates{}
	offer := func(v int) {
		for u := range g.before[v] {
			heap.Push(queue, candidate{Edge{u, v}, math.Abs(scores[g.At(Edge{u, v})]), queue.offered})
			queue.offered++
		}
	}
	offer(len(g.Receivers) - 1)
	in := make([]bool, len(g.Senders))
	for range n {
		if queue.Len() == 0 {
			break
		}
		e := heap.Pop(queue).(candidate).edge
		c.Keep[g.At(e)] = true
		if in[e.U] {
			continue
		}
		in[e.U] = true
		for v, owner := range g.Owner {
			if owner == e.U {
				offer(v)
			}
		}
	}
	return c
}

// candidate is an edge that Greedy may take; of equal scores the one offered first wins.
type candidate struct {
	edge    Edge
	score   float64
	offered int
}

type candidates struct {
	list    []candidate
	offered int
}

func (q *candidates) Len() int      { return len(q.list) }
func (q *candidates) Swap(i, j int) { q.list[i], q.list[j] = q.list[j], q.list[i] }
func (q *candidates) Push(x any)    { q.list = append(q.list, x.(candidate)) }
func (q *candidates) Less(i, j int) bool {
	a, b := q.list[i], q.list[j]
	return a.score > b.score || a.score == b.score && a.offered < b.offered
}
func (q *candidates) Pop() any {
	x := q.list[len(q.list)-1]
	q.list = q.list[:len(q.list)-1]
	return x
}
