package features

import (
	"context"
	"fmt"
	"slices"

	"loupe/probe/model"
)

// Judge says how circuits are cut out of the model.
type Judge struct {
	Ablation Ablation `json:"ablation" doc:"what features outside the circuit take" enum:"zero,mean,mean-positional,patching"`
	Errors   Errors   `json:"errors" doc:"what becomes of the sites' errors: nodes like the features, all kept, or all ablated" enum:"nodes,kept,ablated"`
}

// Losses returns each row's loss under each circuit, [circuits][rows]: in one pass, site after site, features outside the circuit take the
// ablation's value and features inside keep what the changes before make of them. Circuits run side by side, as many as the
// task's Options.SweepRows hold.
func (c *Code) Losses(ctx context.Context, nodes [][]Node, j Judge) ([][]float64, error) {
	switch j.Errors {
	case ErrorsAsNodes, ErrorsKept, ErrorsAblated:
	default:
		return nil, fmt.Errorf("features: errors %q are none of %s, %s, %s", j.Errors, ErrorsAsNodes, ErrorsKept, ErrorsAblated)
	}
	refs, err := c.references(j.Ablation)
	if err != nil {
		return nil, err
	}
	members := make([]map[key]bool, len(nodes))
	for i, list := range nodes {
		if members[i], err = c.members(list, j.Errors); err != nil {
			return nil, err
		}
	}
	var out [][]float64
	for part := range slices.Chunk(members, c.Task.Copies()) {
		losses, err := c.Task.Splice(ctx, c.Sites(), len(part), func(site model.Site, rows []int, x []float32) error {
			k := slices.Index(c.Sites(), site)
			return c.Dictionaries[k].cut(x, part, k, rows, c.Task.Pairs.Seq, refs[k])
		})
		if err != nil {
			return nil, err
		}
		out = append(out, losses...)
	}
	return out, nil
}

// members turns a circuit into a set.
func (c *Code) members(nodes []Node, errors Errors) (map[key]bool, error) {
	in := map[key]bool{}
	for _, n := range nodes {
		k := slices.Index(c.Sites(), n.Site)
		switch {
		case k < 0:
			return nil, fmt.Errorf("features: node %s: no dictionary at its site", n.Name())
		case n.Feature < ErrorFeature || n.Feature >= c.Dictionaries[k].N:
			return nil, fmt.Errorf("features: node %s: the dictionary has %d features", n.Name(), c.Dictionaries[k].N)
		case n.Position < AllPositions || n.Position >= c.Task.Pairs.Seq:
			return nil, fmt.Errorf("features: node %s: inputs have %d positions", n.Name(), c.Task.Pairs.Seq)
		}
		if n.Feature != ErrorFeature || errors == ErrorsAsNodes {
			in[key{k, n.Feature, n.Position}] = true
		}
	}
	if errors == ErrorsKept {
		for k := range c.Dictionaries {
			in[key{k, ErrorFeature, AllPositions}] = true
		}
	}
	return in, nil
}

// cut ablates what is outside each copy's circuit in x [copies,rows,seq,d].
func (d *Dictionary) cut(x []float32, members []map[key]bool, site int, rows []int, seq int, ref *reference) error {
	l, rest, err := d.split(x)
	if err != nil {
		return err
	}
	for at := range l.Rows() {
		in, place := members[at/seq/len(rows)], rows[at/seq%len(rows)]*seq+at%seq
		has := func(feature int) bool {
			return in[key{site, feature, AllPositions}] || in[key{site, feature, at % seq}]
		}
		here := x[at*d.D : (at+1)*d.D]
		index, value := l.Row(at)
		for j, i := range index {
			if value[j] != 0 && !has(int(i)) {
				axpy(-value[j], d.write(i), here)
			}
		}
		index, value, constant := ref.at(place)
		for j, i := range index {
			if !has(int(i)) {
				axpy(value[j], d.write(i), here)
			}
		}
		if has(ErrorFeature) {
			continue
		}
		axpy(-1, rest[at*d.D:(at+1)*d.D], here)
		if constant != nil {
			axpy(1, constant, here)
		}
	}
	return nil
}

// Judgement is how much of the behaviour a circuit carries. With m minus the mean loss, f(C) = (m(C) - m(empty)) / (m(full) - m(empty)); completeness
// is f of everything but the circuit, and is small when the circuit is all there is.
type Judgement struct {
	Judge
	Nodes        int       `json:"nodes"`
	Full         float64   `json:"full"` // m
	Empty        float64   `json:"empty"`
	Circuit      float64   `json:"circuit"`
	Complement   float64   `json:"complement"`
	Faithfulness float64   `json:"faithfulness"`
	Completeness float64   `json:"completeness"`
	FaithfulRows []float64 `json:"-"` // m(C) of each row
	CompleteRows []float64 `json:"-"`
	EmptyRows    []float64 `json:"-"`
}

// Judge measures circuits, the first n of the ranked nodes for each n of sizes. Everything but a circuit are the other features and errors of
// the sites. ErrorsKept keeps errors in all of them, m(empty) too; ErrorsAblated in none, m(full) too.
func (c *Code) Judge(ctx context.Context, ranked []Node, sizes []int, j Judge) ([]Judgement, error) {
	all := c.everything()
	runs := [][]Node{all, nil}
	for _, n := range sizes {
		if n < 0 || n > len(ranked) {
			return nil, fmt.Errorf("features: a circuit of %d of %d nodes", n, len(ranked))
		}
		runs = append(runs, ranked[:n], c.without(all, ranked[:n]))
	}
	losses, err := c.Losses(ctx, runs, j)
	if err != nil {
		return nil, err
	}
	m := make([]float64, len(losses))
	for i, rows := range losses {
		for _, v := range rows {
			m[i] -= v / float64(len(rows))
		}
	}
	out := make([]Judgement, len(sizes))
	for i, n := range sizes {
		a, b := 2+2*i, 3+2*i
		out[i] = Judgement{
			Judge: j, Nodes: n, Full: m[0], Empty: m[1], Circuit: m[a], Complement: m[b],
			Faithfulness: (m[a] - m[1]) / (m[0] - m[1]), Completeness: (m[b] - m[1]) / (m[0] - m[1]),
			FaithfulRows: negative(losses[a]), CompleteRows: negative(losses[b]), EmptyRows: negative(losses[1]),
		}
	}
	if m[0] == m[1] {
		return nil, fmt.Errorf("features: ablating every feature by %q changes nothing, so faithfulness has no scale", j.Ablation)
	}
	return out, nil
}

func negative(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = -v
	}
	return out
}

// everything lists all features and errors at all positions.
func (c *Code) everything() []Node {
	var out []Node
	for _, d := range c.Dictionaries {
		for i := ErrorFeature; i < d.N; i++ {
			out = append(out, Node{Site: d.Site, Feature: i, Position: AllPositions})
		}
	}
	return out
}

// without takes a circuit out of all; a node at one position leaves its other positions in.
func (c *Code) without(all, circuit []Node) []Node {
	type part struct {
		site    model.Site
		feature int
	}
	gone := map[part][]int{}
	for _, n := range circuit {
		gone[part{n.Site, n.Feature}] = append(gone[part{n.Site, n.Feature}], n.Position)
	}
	var out []Node
	for _, n := range all {
		positions := gone[part{n.Site, n.Feature}]
		switch {
		case positions == nil:
			out = append(out, n)
		case !slices.Contains(positions, AllPositions):
			for i := range c.Task.Pairs.Seq {
				if !slices.Contains(positions, i) {
					out = append(out, Node{Site: n.Site, Feature: n.Feature, Position: i})
				}
			}
		}
	}
	return out
}
