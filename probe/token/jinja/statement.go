package jinja

import "fmt"

// statement is a node that writes or assigns.
type statement interface {
	run(r *renderer) (jump, error)
}

// jump is how a statement leaves the loop around it.
type jump int

const (
	onward jump = iota
	breakLoop
	continueLoop
)

type (
	textNode   string
	outputNode struct {
		value expression
		line  int
	}
	ifNode struct {
		conds     []expression
		bodies    [][]statement
		otherwise []statement
		line      int
	}
	forNode struct {
		target    []string
		over      expression
		cond      expression // nil: all items
		body      []statement
		otherwise []statement
		line      int
	}
	setNode struct {
		names    []string
		attr     string // of a namespace
		value    expression
		capture  bool
		captured []statement
		line     int
	}
	macroNode struct {
		name     string
		params   []string
		defaults []expression // nil where there is none
		body     []statement
	}
	scopeNode struct{ body []statement }
	jumpNode  string
)

// at adds a line to an error, once.
func at(line int, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(*lineError); ok {
		return err
	}
	return &lineError{line, err}
}

// lineError is an error in a line of the template.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

func (r *renderer) run(body []statement) (jump, error) {
	for _, s := range body {
		if err := r.spend(0); err != nil {
			return onward, err
		}
		if j, err := s.run(r); err != nil || j != onward {
			return j, err
		}
	}
	return onward, nil
}

func (n textNode) run(r *renderer) (jump, error) { return onward, r.write(string(n)) }

func (n outputNode) run(r *renderer) (jump, error) {
	v, err := r.eval(n.value)
	if err != nil {
		return onward, at(n.line, err)
	}
	s, err := r.text(v)
	if err != nil {
		return onward, at(n.line, err)
	}
	return onward, r.write(s)
}

func (n ifNode) run(r *renderer) (jump, error) {
	for i, cond := range n.conds {
		v, err := r.eval(cond)
		if err != nil {
			return onward, at(n.line, err)
		}
		if truthy(v) {
			return r.run(n.bodies[i])
		}
	}
	return r.run(n.otherwise)
}

func (n scopeNode) run(r *renderer) (j jump, err error) {
	err = r.inner(r.scope, func() error {
		j, err = r.run(n.body)
		return err
	})
	return j, err
}

func (n jumpNode) run(*renderer) (jump, error) {
	if n == "break" {
		return breakLoop, nil
	}
	return continueLoop, nil
}

func (n setNode) run(r *renderer) (jump, error) {
	if n.capture {
		s, err := r.capture(func() error {
			return r.inner(r.scope, func() error {
				_, err := r.run(n.captured)
				return err
			})
		})
		if err != nil {
			return onward, err
		}
		r.captured = s
	}
	v, err := r.eval(n.value)
	if err != nil {
		return onward, at(n.line, err)
	}
	if n.attr == "" {
		return onward, at(n.line, r.assign(n.names, v))
	}
	ns, _ := r.scope.lookup(n.names[0])
	space, ok := ns.(*namespace)
	if !ok {
		return onward, at(n.line, fmt.Errorf("cannot assign to an attribute of '%s', which is no namespace", n.names[0]))
	}
	if n.attr[0] == '_' {
		return onward, at(n.line, fmt.Errorf("access to attribute '%s' is not allowed", n.attr))
	}
	space.put(n.attr, v)
	return onward, nil
}

// assign gives names a value, unpacked when there are several.
func (r *renderer) assign(names []string, v value) error {
	if len(names) == 1 {
		r.scope.vars[names[0]] = v
		return nil
	}
	all, err := items(v)
	if err != nil {
		return err
	}
	if len(all) != len(names) {
		return fmt.Errorf("expected %d values to unpack, not %d", len(names), len(all))
	}
	for i, name := range names {
		r.scope.vars[name] = all[i]
	}
	return nil
}

func (n *macroNode) run(r *renderer) (jump, error) {
	home := r.scope
	r.scope.vars[n.name] = function(func(r *renderer, args arguments) (value, error) { return n.call(r, home, args) })
	return onward, nil
}

// maxCalls bounds macros that call each other.
const maxCalls = 64

func (n *macroNode) call(r *renderer, home *scope, args arguments) (value, error) {
	bound, err := args.bind(n.params...)
	if err != nil {
		return nil, fmt.Errorf("macro %s: %w", n.name, err)
	}
	if r.calls++; r.calls > maxCalls {
		return nil, fmt.Errorf("%w: macros call each other more than %d deep", ErrLimit, maxCalls)
	}
	defer func() { r.calls-- }()
	s, err := r.capture(func() error {
		return r.inner(home, func() error {
			for i, param := range n.params {
				v, ok := bound[param]
				switch {
				case ok:
				case n.defaults[i] != nil:
					if v, err = r.eval(n.defaults[i]); err != nil {
						return err
					}
				default:
					v = undefined{param}
				}
				r.scope.vars[param] = v
			}
			_, err := r.run(n.body)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
