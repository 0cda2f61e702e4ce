package jinja

import (
	"fmt"
	"math"
	"strings"
)

func (n constNode) eval(*renderer) (value, error) { return n.v, nil }

func (n nameNode) eval(r *renderer) (value, error) {
	if v, ok := r.scope.lookup(string(n)); ok {
		return v, nil
	}
	if f, ok := r.globals[string(n)]; ok {
		return f, nil
	}
	return undefined{string(n)}, nil
}

func (n capturedNode) eval(r *renderer) (value, error) { return r.captured, nil }

// evalAll evaluates expressions in order.
func (r *renderer) evalAll(es []expression) ([]value, error) {
	out := make([]value, len(es))
	for i, e := range es {
		v, err := r.eval(e)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (n listNode) eval(r *renderer) (value, error) {
	vs, err := r.evalAll(n)
	return list(vs), err
}

func (n tupleNode) eval(r *renderer) (value, error) {
	vs, err := r.evalAll(n)
	return tuple(vs), err
}

func (n dictNode) eval(r *renderer) (value, error) {
	d := NewDict()
	for _, kv := range n {
		pair, err := r.evalAll(kv[:])
		if err != nil {
			return nil, err
		}
		if !hashable(pair[0]) {
			return nil, fmt.Errorf("unhashable type: '%s'", typeName(pair[0]))
		}
		d.put(hashKey(pair[0]), pair[1])
	}
	return d, nil
}

func (n attrNode) eval(r *renderer) (value, error) {
	of, err := r.eval(n.of)
	if err != nil {
		return nil, err
	}
	return attribute(of, n.name)
}

// attribute is of.name: a method, else an entry, else undefined.
func attribute(of value, name string) (value, error) {
	if u, ok := of.(undefined); ok {
		return nil, fmt.Errorf("'%s' is undefined and has no '%s'", u.name, name)
	}
	if strings.HasPrefix(name, "_") {
		return undefined{name}, nil
	}
	if m, ok := method(of, name); ok {
		return m, nil
	}
	switch of := of.(type) {
	case *Dict:
		if v, ok := of.get(name); ok {
			return v, nil
		}
	case *namespace:
		if v, ok := of.get(name); ok {
			return v, nil
		}
	case *loopState:
		return of.attribute(name)
	}
	return undefined{name}, nil
}

func (n indexNode) eval(r *renderer) (value, error) {
	both, err := r.evalAll([]expression{n.of, n.at})
	if err != nil {
		return nil, err
	}
	return item(both[0], both[1])
}

// item is of[at]: an entry, else an attribute, else undefined.
func item(of, at value) (value, error) {
	switch c := of.(type) {
	case undefined:
		return nil, fmt.Errorf("'%s' is undefined and has no item %s", c.name, toString(at))
	case *Dict:
		if hashable(at) {
			if v, ok := c.get(at); ok {
				return v, nil
			}
		}
	default:
		_, i, isInt, ok := number(at)
		if !ok || !isInt {
			break
		}
		if _, lazy := of.(generator); lazy {
			return nil, fmt.Errorf("'generator' object is not subscriptable")
		}
		if all, err := items(of); err == nil {
			if i < 0 {
				i += int64(len(all))
			}
			if 0 <= i && i < int64(len(all)) {
				return all[i], nil
			}
			return undefined{toString(at)}, nil
		}
	}
	if name, ok := at.(string); ok {
		return attribute(of, name)
	}
	return undefined{toString(at)}, nil
}

func (n sliceNode) eval(r *renderer) (value, error) {
	of, err := r.eval(n.of)
	if err != nil {
		return nil, err
	}
	var bounds [3]*int64
	for i, e := range []expression{n.from, n.to, n.step} {
		if e == nil {
			continue
		}
		v, err := r.eval(e)
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		_, b, isInt, ok := number(v)
		if !ok || !isInt {
			return nil, fmt.Errorf("slice indices must be integers, not %s", typeName(v))
		}
		bounds[i] = &b
	}
	_, isString := of.(string)
	all, isSequence := sequence(of)
	if isString {
		all, err = items(of)
	} else if !isSequence {
		err = fmt.Errorf("'%s' object cannot be sliced", typeName(of))
	}
	if err != nil {
		return nil, err
	}
	out, err := sliced(all, bounds)
	if err != nil {
		return nil, err
	}
	if err := r.spend(len(out)); err != nil {
		return nil, err
	}
	if isString {
		var b strings.Builder
		for _, s := range out {
			b.WriteString(s.(string))
		}
		return b.String(), nil
	}
	if _, ok := of.(tuple); ok {
		return tuple(out), nil
	}
	return list(out), nil
}

// sliced is Python's all[from:to:step].
func sliced(all []value, bounds [3]*int64) ([]value, error) {
	n, step := int64(len(all)), int64(1)
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		return nil, fmt.Errorf("slice step cannot be zero")
	}
	low, high := int64(0), n // the range that bounds are clamped to
	if step < 0 {
		low, high = -1, n-1
	}
	clamp := func(b *int64, open int64) int64 {
		if b == nil {
			return open
		}
		i := *b
		if i < 0 {
			i += n
		}
		return max(low, min(i, high))
	}
	from, to := clamp(bounds[0], low), clamp(bounds[1], high)
	if step < 0 {
		from, to = clamp(bounds[0], high), clamp(bounds[1], low)
	}
	var out []value
	for i := from; step > 0 && i < to || step < 0 && i > to; {
		out = append(out, all[i])
		if step > n || step < -n {
			break
		}
		i += step
	}
	return out, nil
}

func (n unaryNode) eval(r *renderer) (value, error) {
	v, err := r.eval(n.of)
	if err != nil {
		return nil, err
	}
	if n.op == "not" {
		return !truthy(v), nil
	}
	f, i, isInt, ok := number(v)
	switch {
	case !ok:
		return nil, fmt.Errorf("bad operand type for unary %s: '%s'", n.op, typeName(v))
	case isInt && n.op == "-":
		if i == math.MinInt64 {
			return nil, errOverflow
		}
		return -i, nil
	case isInt:
		return i, nil
	case n.op == "-":
		return -f, nil
	}
	return f, nil
}

func (n binaryNode) eval(r *renderer) (value, error) {
	left, err := r.eval(n.left)
	if err != nil {
		return nil, err
	}
	switch n.op {
	case "and":
		if !truthy(left) {
			return left, nil
		}
		return r.eval(n.right)
	case "or":
		if truthy(left) {
			return left, nil
		}
		return r.eval(n.right)
	}
	right, err := r.eval(n.right)
	if err != nil {
		return nil, err
	}
	if n.op == "~" {
		a, err := r.text(left)
		if err != nil {
			return nil, err
		}
		b, err := r.text(right)
		if err != nil {
			return nil, err
		}
		return r.sized(a + b)
	}
	return r.arithmetic(n.op, left, right)
}

func (n compareNode) eval(r *renderer) (value, error) {
	left, err := r.eval(n.first)
	if err != nil {
		return nil, err
	}
	for i, op := range n.ops {
		right, err := r.eval(n.rest[i])
		if err != nil {
			return nil, err
		}
		if err := r.spendOn(left, right); err != nil {
			return nil, err
		}
		ok, err := holds(op, left, right)
		if err != nil || !ok {
			return false, err
		}
		left = right
	}
	return true, nil
}

func holds(op string, a, b value) (bool, error) {
	switch op {
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "in":
		return contains(b, a)
	case "not in":
		ok, err := contains(b, a)
		return !ok, err
	}
	c, err := compare(a, b)
	switch op {
	case "<":
		return c < 0, err
	case "<=":
		return c <= 0, err
	case ">":
		return c > 0, err
	}
	return c >= 0, err
}

func (n condNode) eval(r *renderer) (value, error) {
	cond, err := r.eval(n.cond)
	switch {
	case err != nil:
		return nil, err
	case truthy(cond):
		return r.eval(n.then)
	case n.otherwise != nil:
		return r.eval(n.otherwise)
	}
	return undefined{"the value of an if without else"}, nil
}

// arguments are the evaluated arguments of a call.
type arguments struct {
	pos   []value
	named map[string]value
	order []string // of named
}

func (r *renderer) arguments(args []expression, kwargs []keyword) (arguments, error) {
	pos, err := r.evalAll(args)
	if err != nil {
		return arguments{}, err
	}
	a := arguments{pos: pos, named: map[string]value{}}
	for _, k := range kwargs {
		v, err := r.eval(k.value)
		if err != nil {
			return arguments{}, err
		}
		a.named[k.name] = v
		a.order = append(a.order, k.name)
	}
	return a, nil
}

// bind gives arguments their names; the result has a value or nil and false for each.
func (a arguments) bind(names ...string) (map[string]value, error) {
	if len(a.pos) > len(names) {
		return nil, fmt.Errorf("takes at most %d arguments, not %d", len(names), len(a.pos))
	}
	bound := make(map[string]value, len(names))
	for i, v := range a.pos {
		bound[names[i]] = v
	}
	for _, name := range a.order {
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if _, twice := bound[name]; !known || twice {
			return nil, fmt.Errorf("unexpected argument '%s'", name)
		}
		bound[name] = a.named[name]
	}
	return bound, nil
}

func (n callNode) eval(r *renderer) (value, error) {
	fn, err := r.eval(n.fn)
	if err != nil {
		return nil, err
	}
	args, err := r.arguments(n.args, n.kwargs)
	if err != nil {
		return nil, err
	}
	switch f := fn.(type) {
	case function:
		return f(r, args)
	case undefined:
		return nil, fmt.Errorf("'%s' is undefined and cannot be called", f.name)
	}
	return nil, fmt.Errorf("'%s' object is not callable", typeName(fn))
}

func (n filterNode) eval(r *renderer) (value, error) {
	in, err := r.eval(n.input)
	if err != nil {
		return nil, err
	}
	args, err := r.arguments(n.args, n.kwargs)
	if err != nil {
		return nil, err
	}
	v, err := r.filter(n.name, in, args)
	if err != nil {
		return nil, fmt.Errorf("filter %s: %w", n.name, err)
	}
	return v, nil
}

func (n testNode) eval(r *renderer) (value, error) {
	in, err := r.eval(n.input)
	if err != nil {
		return nil, err
	}
	args, err := r.evalAll(n.args)
	if err != nil {
		return nil, err
	}
	ok, err := r.test(n.name, in, args)
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", n.name, err)
	}
	return ok != n.negate, nil
}
