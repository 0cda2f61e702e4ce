package sae

// Latents are the active latents of some rows: a row has latent Index[j] with activation Value[j] for each of its
// slots j. A slot with value 0 is empty.
type Latents struct {
	K     int   // slots of every row where Start is nil
	Start []int // where not nil: row r has slots Start[r] to Start[r+1], and K means nothing
	Index []int32
	Value []float32
}

// newLatents returns empty latents for n rows of k slots.
func newLatents(n, k int) Latents {
	return Latents{K: k, Index: make([]int32, n*k), Value: make([]float32, n*k)}
}

// Rows returns the number of rows.
func (l Latents) Rows() int {
	if l.Start != nil {
		return len(l.Start) - 1
	}
	return len(l.Index) / max(l.K, 1)
}

// span returns the slots of row r.
func (l Latents) span(r int) (lo, hi int) {
	if l.Start != nil {
		return l.Start[r], l.Start[r+1]
	}
	return r * l.K, (r + 1) * l.K
}

// Row returns the slots of row r.
func (l Latents) Row(r int) ([]int32, []float32) {
	lo, hi := l.span(r)
	return l.Index[lo:hi], l.Value[lo:hi]
}

// Slice returns rows lo to hi, sharing memory where every row has K slots.
func (l Latents) Slice(lo, hi int) Latents {
	if l.Start == nil {
		return Latents{K: l.K, Index: l.Index[lo*l.K : hi*l.K], Value: l.Value[lo*l.K : hi*l.K]}
	}
	out := Latents{Start: make([]int, hi-lo+1), Index: l.Index[l.Start[lo]:l.Start[hi]], Value: l.Value[l.Start[lo]:l.Start[hi]]}
	for i := range out.Start {
		out.Start[i] = l.Start[lo+i] - l.Start[lo]
	}
	return out
}
