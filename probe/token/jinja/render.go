package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrLimit says that a template needs more steps, memory or output than it may.
	ErrLimit = errors.New("the template goes beyond its limits")
	// ErrRaised says that the template itself called raise_exception; the message is in the text around it.
	ErrRaised = errors.New("the template refuses its input")
)

// Limits bound what rendering may use.
type Limits struct {
	Steps int // evaluated expressions and statements, and items that they copy
	Size  int // bytes of a string, of all output together, and items of a list
}

// DefaultLimits are far above what any chat needs.
func DefaultLimits() Limits { return Limits{Steps: 10_000_000, Size: 64 << 20} }

// Options of Render.
type Options struct {
	Limits Limits    // zero: DefaultLimits
	Now    time.Time // what strftime_now formats; zero: the template may not ask for the time
}

// Render fills in a template. Variables may be nil, bools, integers, floats, strings, slices, maps with string keys and *Dict.
func (t *Template) Render(vars map[string]any, opt Options) (string, error) {
	if opt.Limits == (Limits{}) {
		opt.Limits = DefaultLimits()
	}
	r := &renderer{limits: opt.Limits, now: opt.Now, scope: &scope{vars: map[string]value{}}, globals: globals, out: &strings.Builder{}}
	for name, v := range vars {
		converted, err := fromGo(v, 0)
		if err != nil {
			return "", fmt.Errorf("%w (variable %s)", err, name)
		}
		r.scope.vars[name] = converted
	}
	if _, err := r.run(t.body); err != nil {
		return "", fmt.Errorf("jinja: %w", err)
	}
	return r.out.String(), nil
}

// renderer is the state of one rendering.
type renderer struct {
	limits   Limits
	now      time.Time
	scope    *scope
	globals  map[string]value
	out      *strings.Builder
	written  int
	steps    int
	depth    int    // of evaluation
	calls    int    // macros under way
	captured string // text of the block assignment under way
}

// scope is a set of variables inside another.
type scope struct {
	vars  map[string]value
	outer *scope
}

func (s *scope) lookup(name string) (value, bool) {
	for ; s != nil; s = s.outer {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// inner runs f in a scope of its own inside of outer.
func (r *renderer) inner(outer *scope, f func() error) error {
	before := r.scope
	r.scope = &scope{vars: map[string]value{}, outer: outer}
	err := f()
	r.scope = before
	return err
}

// spend counts n steps.
func (r *renderer) spend(n int) error {
	if r.steps += n + 1; r.steps > r.limits.Steps || r.steps < 0 {
		return fmt.Errorf("%w: more than %d steps", ErrLimit, r.limits.Steps)
	}
	return nil
}

// spendOn counts the steps of walking over values.
func (r *renderer) spendOn(vs ...value) error {
	for _, v := range vs {
		n := 0
		switch v := v.(type) {
		case string:
			n = len(v) / 64
		case list:
			n = len(v)
		case tuple:
			n = len(v)
		case *Dict:
			n = len(v.keys)
		}
		if err := r.spend(n); err != nil {
			return err
		}
	}
	return nil
}

// sized returns a new string if it is not too long.
func (r *renderer) sized(s string) (value, error) {
	if len(s) > r.limits.Size {
		return nil, fmt.Errorf("%w: a string of more than %d bytes", ErrLimit, r.limits.Size)
	}
	return s, r.spend(len(s) / 64)
}

// text is toString within the limits.
func (r *renderer) text(v value) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	if err := r.weigh(v, 0); err != nil {
		return "", err
	}
	s := toString(v)
	_, err := r.sized(s)
	return s, err
}

// weigh counts the steps of walking over a value and everything in it.
func (r *renderer) weigh(v value, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: data nested deeper than %d", ErrLimit, maxDepth)
	}
	if err := r.spendOn(v); err != nil {
		return err
	}
	if d, ok := v.(*Dict); ok {
		for _, k := range d.keys {
			if err := r.weigh(d.values[k], depth+1); err != nil {
				return err
			}
		}
	}
	if all, ok := sequence(v); ok {
		for _, e := range all {
			if err := r.weigh(e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// eval evaluates one expression.
func (r *renderer) eval(e expression) (value, error) {
	if err := r.spend(0); err != nil {
		return nil, err
	}
	if r.depth++; r.depth > 20*maxDepth {
		return nil, fmt.Errorf("%w: calls nested too deep", ErrLimit)
	}
	v, err := e.eval(r)
	r.depth--
	return v, err
}

func (r *renderer) write(s string) error {
	if r.written += len(s); r.written > r.limits.Size {
		return fmt.Errorf("%w: more than %d bytes of output", ErrLimit, r.limits.Size)
	}
	r.out.WriteString(s)
	return nil
}

// capture runs f and returns what it writes.
func (r *renderer) capture(f func() error) (string, error) {
	before := r.out
	r.out = &strings.Builder{}
	err := f()
	s := r.out.String()
	r.out = before
	return s, err
}
