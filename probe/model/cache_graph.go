package model

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// cacheNodes are the keys and values of earlier positions in a decoding step: per layer [b,k,n,e] with n cache rows.
type cacheNodes struct {
	keys, values []*Node
	valid        *Node // [b,n] bool: rows that hold real tokens
	now          *Node // scalar int32: the step's row
	newK, newV   []*Node
}

// cachedAttention attends from one new position to the cache and to itself and returns z [b,1,h,e]. The new rows
// [b,k,e] are kept for the caller, who writes them into the cache.
func (f *forward) cachedAttention(i int, q, k, v *Node) *Node {
	s, c := f.spec, f.cache
	b, groups := f.plan.Batch, s.Heads/s.KVHeads
	n := c.keys[i].Shape().Dimensions[2]
	q = Reshape(q, b, s.KVHeads, groups, s.DHead)
	k, v = Reshape(k, b, s.KVHeads, s.DHead), Reshape(v, b, s.KVHeads, s.DHead)
	c.newK, c.newV = append(c.newK, k), append(c.newV, v)

	past := f.scaleScores(i, Einsum("bkge,bkne->bkgn", q, c.keys[i]))
	self := f.scaleScores(i, ExpandAxes(Einsum("bkge,bke->bkg", q, k), -1))
	seen := BroadcastToDims(ExpandAxes(ExpandAxes(c.valid, 1), 1), past.Shape().Dimensions...)
	if s.Window != nil && s.Window[i] > 0 {
		row := Iota(f.g, shapeOf(dtypes.Int32, past.Shape().Dimensions...), 3)
		seen = And(seen, LessThan(Sub(c.now, row), Scalar(f.g, dtypes.Int32, s.Window[i])))
	}
	past = Add(past, Where(seen, ScalarZero(f.g, floatType), Scalar(f.g, floatType, masked)))
	pattern := Softmax(Concatenate([]*Node{past, self}, -1), -1) // [b,k,g,n+1]
	all := AxisRange()
	z := Einsum("bkgn,bkne->bkge", Slice(pattern, all, all, all, AxisRange(0, n)), c.values[i])
	z = Add(z, Mul(Slice(pattern, all, all, all, AxisRange(n, n+1)), ExpandAxes(v, 2)))
	return Reshape(z, b, 1, s.Heads, s.DHead)
}
