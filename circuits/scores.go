package circuits

// Scores are the scores of every edge for every row: what corrupting the edge adds to the loss, by the method's account.
type Scores struct {
	Graph  *EdgeGraph
	Method string
	Rows   int
	Values []float64 // [rows,u,v], zero where there is no edge
}

// Mean is the mean over rows, [u,v].
func (s *Scores) Mean() []float64 {
	rows := make([]int, s.Rows)
	for i := range rows {
		rows[i] = i
	}
	return s.mean(rows)
}

// mean is the mean over the rows listed, repetitions counted.
func (s *Scores) mean(rows []int) []float64 {
	size := s.Graph.Size()
	out := make([]float64, size)
	for _, r := range rows {
		for i, v := range s.Values[r*size : (r+1)*size] {
			out[i] += v
		}
	}
	for i := range out {
		out[i] /= float64(len(rows))
	}
	return out
}

// Sum is the sum of the mean scores: what all edges together should add to the loss. Only mask-path integrated gradients
// promise it (MaskIG).
func (s *Scores) Sum() float64 {
	var sum float64
	for _, v := range s.Mean() {
		sum += v
	}
	return sum
}

// scores makes Scores of values, zeroing what is no edge.
func (t *Task) scores(method string, values []float64) *Scores {
	s := &Scores{Graph: t.Graph, Method: method, Rows: t.Pairs.Rows, Values: values}
	size := t.Graph.Size()
	for i := range values {
		at := i % size
		if !t.Graph.Real(Edge{at / len(t.Graph.Receivers), at % len(t.Graph.Receivers)}) {
			values[i] = 0
		}
	}
	return s
}

// accumulate adds factor x to sum, which may be nil, and returns it.
func accumulate(sum, x []float64, factor float64) []float64 {
	if sum == nil {
		sum = make([]float64, len(x))
	}
	for i, v := range x {
		sum[i] += factor * v
	}
	return sum
}
