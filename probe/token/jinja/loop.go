package jinja

import "fmt"

func (n *forNode) run(r *renderer) (jump, error) {
	over, err := r.eval(n.over)
	if err != nil {
		return onward, at(n.line, err)
	}
	all, err := items(over)
	if err != nil {
		return onward, at(n.line, err)
	}
	if err := r.spend(len(all)); err != nil {
		return onward, at(n.line, err)
	}
	if n.cond != nil {
		if all, err = n.chosen(r, all); err != nil {
			return onward, at(n.line, err)
		}
	}
	loop := &loopState{items: all}
	for i := range all {
		loop.at = i
		var j jump
		err := r.inner(r.scope, func() error {
			r.scope.vars["loop"] = loop
			if err := r.assign(n.target, all[i]); err != nil {
				return at(n.line, err)
			}
			var err error
			j, err = r.run(n.body)
			return err
		})
		if err != nil {
			return onward, err
		}
		if j == breakLoop {
			return onward, nil
		}
	}
	if len(all) == 0 {
		return r.run(n.otherwise)
	}
	return onward, nil
}

// chosen returns the items for which the loop's condition holds.
func (n *forNode) chosen(r *renderer, all []value) ([]value, error) {
	var out []value
	for _, v := range all {
		err := r.inner(r.scope, func() error {
			if err := r.assign(n.target, v); err != nil {
				return err
			}
			ok, err := r.eval(n.cond)
			if err == nil && truthy(ok) {
				out = append(out, v)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// loopState is the variable "loop" of a for loop.
type loopState struct {
	items []value
	at    int
}

func (l *loopState) attribute(name string) (value, error) {
	n := len(l.items)
	neighbour := func(i int) value {
		if i < 0 || i >= n {
			return undefined{"loop." + name}
		}
		return l.items[i]
	}
	switch name {
	case "index":
		return int64(l.at + 1), nil
	case "index0":
		return int64(l.at), nil
	case "revindex":
		return int64(n - l.at), nil
	case "revindex0":
		return int64(n - l.at - 1), nil
	case "first":
		return l.at == 0, nil
	case "last":
		return l.at == n-1, nil
	case "length":
		return int64(n), nil
	case "previtem":
		return neighbour(l.at - 1), nil
	case "nextitem":
		return neighbour(l.at + 1), nil
	case "depth", "depth0":
		// Only recursive loops are deeper, and there are none.
		if name == "depth" {
			return int64(1), nil
		}
		return int64(0), nil
	case "cycle":
		return function(func(_ *renderer, args arguments) (value, error) {
			if len(args.pos) == 0 {
				return nil, fmt.Errorf("cycle needs at least one value")
			}
			return args.pos[l.at%len(args.pos)], nil
		}), nil
	}
	return undefined{"loop." + name}, nil
}
