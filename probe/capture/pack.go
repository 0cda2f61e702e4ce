package capture

import "slices"

// packer fills sequences of a fixed length with documents, one after the other.
type packer struct {
	length int
	bos    []cell // put first in a pack that begins inside a document; nil for none
	next   int32  // number of the next pack
	open   []cell
	ready  []sequence
}

// add appends a document's tokens. A document that does not fit goes on in the next pack.
func (p *packer) add(tokens []cell) {
	segment := int32(0)
	if n := len(p.open); n > 0 {
		segment = p.open[n-1].segment + 1
	}
	for i, c := range tokens {
		if len(p.open) == 0 {
			segment = 0
			if i > 0 {
				for _, b := range p.bos {
					b.doc, b.segment = c.doc, 0
					p.open = append(p.open, b)
				}
			}
		}
		c.segment = segment
		p.open = append(p.open, c)
		if len(p.open) == p.length {
			p.flush()
		}
	}
}

// flush ends the pack that is being filled.
func (p *packer) flush() {
	if len(p.open) == 0 {
		return
	}
	p.ready = append(p.ready, sequence{seq: p.next, cells: slices.Clone(p.open)})
	p.next, p.open = p.next+1, p.open[:0]
}
