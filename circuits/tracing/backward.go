package tracing

import (
	"slices"

	"gonum.org/v1/gonum/blas/blas64"

	"loupe/probe/model"
)

// target is what a row of the graph reads: a direction of the stream at a layer's read site, or of the final norm's output.
type target struct {
	layer, position int // layer: number of layers for logits
	direction       []float64
	row             int // of the adjacency
}

// sources is what a dictionary writes to one layer at one position.
type sources struct {
	columns []int     // of the adjacency
	vectors []float64 // [len(columns), d]
}

// backward takes the gradients of targets, which are in falling order of layer, through the frozen model and hands every product with a
// source to add. sources(l, p) are those of layer l's written site, tokens(p) the token embedding's; last is the targets' last position.
type backward struct {
	*frozen
	targets []target
	last    int
	sources func(l, p int) sources
	tokens  func(p int) sources
	emit    func(row, column int, value float64)

	g []float64 // [last+1, targets, d], of the residual stream
}

func (b *backward) run() {
	s, d := b.spec, b.spec.DModel
	b.g = make([]float64, (b.last+1)*len(b.targets)*d)
	n := 0
	for ; n < len(b.targets) && b.targets[n].layer == s.Layers; n++ {
		row := b.at(b.g, b.targets[n].position, n)
		copy(row, b.targets[n].direction)
		b.final.backward(row, b.targets[n].position)
	}
	for l := s.Layers - 1; l >= 0; l-- {
		from := n
		for n < len(b.targets) && b.targets[n].layer == l {
			n++
		}
		b.layer(l, from, n)
	}
	for p := range b.last + 1 {
		b.products(b.g, p, n, b.tokens(p))
	}
}

// layer takes the gradients of the block's output to its input; targets from..to read this layer, those before it a later one.
func (b *backward) layer(l, from, to int) {
	w := &b.layers[l]
	// at cuts g at a written site after its products, and lets in what reads the site.
	at := func(k model.Kind, g []float64) {
		if b.dict.Out == k && b.dict.cuts(l) {
			for p := range b.last + 1 {
				b.products(g, p, from, b.sources(l, p))
			}
			if !b.dict.transcodes() {
				clear(g)
			}
		}
		if b.dict.In == k {
			for i := from; i < to; i++ {
				add(b.at(g, b.targets[i].position, i), b.targets[i].direction)
			}
		}
	}
	branch := func() []float64 { return slices.Clone(b.g) }
	at(model.ResidPost, b.g)
	var attn []float64 // of the attention's output where it is not the stream's behind it
	if b.spec.Parallel {
		attn = branch()
	}
	h := b.mlp(w, at, to) // of the MLP's input
	if h != nil {
		b.rows(h, to, func(p int, row []float64) { w.ln2.backward(row, p) })
		add(b.g, h)
	}
	if attn == nil {
		at(model.ResidMid, b.g)
		attn = branch()
	}
	at(model.AttnOut, attn)
	b.rows(attn, to, func(p int, row []float64) { w.post1.backward(row, p) })
	b.attention(w, attn, to)
	b.rows(attn, to, func(p int, row []float64) { w.ln1.backward(row, p) })
	add(b.g, attn)
	at(model.ResidPre, b.g)
}

// mlp returns the gradient of the MLP's input, or nil where nothing goes that way.
func (b *backward) mlp(w *frozenLayer, at func(model.Kind, []float64), n int) []float64 {
	out := slices.Clone(b.g)
	at(model.MLPOut, out)
	h := make([]float64, len(b.g))
	d := b.spec.DModel
	switch {
	case w.mlp != nil:
		b.rows(out, n, func(p int, row []float64) { w.post2.backward(row, p) })
		b.linearMLP(w, out, h, n)
	case w.skip != nil:
		for p := range b.last + 1 {
			addProduct(b.block(h, p, n, d), b.block(out, p, n, d), w.skip.backward)
		}
	}
	at(model.MLPIn, h)
	return h
}

// linearMLP is the gradient through an MLP by its gradient: in = out J.
func (b *backward) linearMLP(w *frozenLayer, out, in []float64, n int) {
	d, width := b.spec.DModel, w.wIn.forward.Rows
	hidden, gate := make([]float64, n*width), make([]float64, n*width)
	for p := range b.last + 1 {
		slope := w.mlp.slope[p*width : (p+1)*width]
		clear(hidden)
		addProduct(hidden, b.block(out, p, n, d), w.wOut.backward)
		if w.mlp.through == nil {
			each(hidden, width, func(_ int, row []float64) { mul(row, slope) })
			addProduct(b.block(in, p, n, d), hidden, w.wIn.backward)
			continue
		}
		copy(gate, hidden)
		each(gate, width, func(_ int, row []float64) { mul(row, slope) })
		each(hidden, width, func(_ int, row []float64) { mul(row, w.mlp.through[p*width:(p+1)*width]) })
		addProduct(b.block(in, p, n, d), hidden, w.wIn.backward)
		addProduct(b.block(in, p, n, d), gate, w.wGate.backward)
	}
}

// attention turns the gradient of the output map's result into that of what attention reads, in place.
func (b *backward) attention(w *frozenLayer, g []float64, n int) {
	s, d := b.spec, b.spec.DModel
	e, width, kv := s.DHead, s.Heads*s.DHead, s.KVHeads*s.DHead
	z := make([]float64, (b.last+1)*n*width)
	for p := range b.last + 1 {
		addProduct(z[p*n*width:(p+1)*n*width], b.block(g, p, n, d), w.wO.backward)
	}
	v := make([]float64, n*kv)
	for j := range b.last + 1 {
		clear(v)
		for head := range s.Heads {
			to := head / (s.Heads / s.KVHeads) * e
			for i := j; i <= b.last; i++ {
				weight := w.pattern[(head*b.t+i)*b.t+j]
				if weight == 0 {
					continue
				}
				for r := range n {
					at := (i*n+r)*width + head*e
					axpy(weight, z[at:at+e], v[r*kv+to:r*kv+to+e])
				}
			}
		}
		at := b.block(g, j, n, d)
		clear(at)
		addProduct(at, v, w.wV.backward)
	}
}

// products hands on the products of the first n gradients at position p with the sources.
func (b *backward) products(g []float64, p, n int, from sources) {
	if len(from.columns) == 0 || n == 0 {
		return
	}
	d, k := b.spec.DModel, len(from.columns)
	out := make([]float64, n*k)
	addProduct(out, b.block(g, p, n, d), blas64.General{Rows: k, Cols: d, Stride: d, Data: from.vectors})
	for r := range n {
		for c, column := range from.columns {
			b.emit(b.targets[r].row, column, out[r*k+c])
		}
	}
}

// at is the gradient of target i at position p.
func (b *backward) at(g []float64, p, i int) []float64 {
	d := b.spec.DModel
	return g[(p*len(b.targets)+i)*d:][:d]
}

// block is the gradients of the first n targets at position p.
func (b *backward) block(g []float64, p, n, width int) []float64 {
	return g[p*len(b.targets)*width:][:n*width]
}

func (b *backward) rows(g []float64, n int, f func(p int, row []float64)) {
	for p := range b.last + 1 {
		each(b.block(g, p, n, b.spec.DModel), b.spec.DModel, func(_ int, row []float64) { f(p, row) })
	}
}
