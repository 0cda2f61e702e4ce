package jinja

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

var errOverflow = errors.New("a number beyond 64 bits")

// arithmetic is left op right for + - * / // % **.
func (r *renderer) arithmetic(op string, left, right value) (value, error) {
	a, ia, intA, okA := number(left)
	b, ib, intB, okB := number(right)
	if okA && okB {
		if intA && intB && op != "/" {
			return integers64(op, ia, ib)
		}
		return floats64(op, a, b)
	}
	for _, v := range []value{left, right} {
		if u, ok := v.(undefined); ok {
			return nil, fmt.Errorf("'%s' is undefined", u.name)
		}
	}
	switch op {
	case "+":
		if s, ok := left.(string); ok {
			if t, ok := right.(string); ok {
				return r.sized(s + t)
			}
		}
		if typeName(left) == typeName(right) {
			if x, ok := sequence(left); ok {
				y, _ := sequence(right)
				if err := r.spend(len(x) + len(y)); err != nil {
					return nil, err
				}
				both := append(append([]value(nil), x...), y...)
				if _, ok := left.(tuple); ok {
					return tuple(both), nil
				}
				return list(both), nil
			}
		}
	case "*":
		if okA && intA {
			left, right, ib, okB, intB = right, left, ia, okA, intA
		}
		if okB && intB {
			return r.repeated(left, ib)
		}
	}
	return nil, fmt.Errorf("unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(left), typeName(right))
}

// repeated is a string or list n times over.
func (r *renderer) repeated(v value, n int64) (value, error) {
	n = max(n, 0)
	switch v := v.(type) {
	case string:
		if int64(len(v)) > 0 && n > int64(r.limits.Size)/int64(len(v)) {
			return nil, fmt.Errorf("%w: a string of more than %d bytes", ErrLimit, r.limits.Size)
		}
		return r.sized(strings.Repeat(v, int(n)))
	case list:
		out, err := r.repeatedItems(v, n)
		return list(out), err
	case tuple:
		out, err := r.repeatedItems(v, n)
		return tuple(out), err
	}
	return nil, fmt.Errorf("unsupported operand type(s) for *: '%s' and 'int'", typeName(v))
}

func (r *renderer) repeatedItems(vs []value, n int64) ([]value, error) {
	if len(vs) > 0 && n > int64(r.limits.Size)/int64(len(vs)) {
		return nil, fmt.Errorf("%w: a list of more than %d items", ErrLimit, r.limits.Size)
	}
	if err := r.spend(len(vs) * int(n)); err != nil {
		return nil, err
	}
	var out []value
	for ; n > 0 && len(vs) > 0; n-- {
		out = append(out, vs...)
	}
	return out, nil
}

func integers64(op string, a, b int64) (value, error) {
	var c int64
	switch op {
	case "+":
		c = a + b
		if (a > 0) == (b > 0) && (c > 0) != (a > 0) && a != 0 && b != 0 {
			return nil, errOverflow
		}
	case "-":
		c = a - b
		if (a >= 0) != (b >= 0) && (c >= 0) != (a >= 0) {
			return nil, errOverflow
		}
	case "*":
		c = a * b
		if a != 0 && (c/a != b || a == -1 && b == math.MinInt64) {
			return nil, errOverflow
		}
	case "//", "%":
		if b == 0 {
			return nil, fmt.Errorf("division by zero")
		}
		if b == -1 {
			if op == "%" {
				return int64(0), nil
			}
			return integers64("-", 0, a)
		}
		// Python rounds towards minus infinity; the remainder has the sign of b.
		quotient, rest := a/b, a%b
		if rest != 0 && (rest < 0) != (b < 0) {
			quotient, rest = quotient-1, rest+b
		}
		if op == "//" {
			return quotient, nil
		}
		return rest, nil
	case "**":
		if b < 0 {
			return floats64(op, float64(a), float64(b))
		}
		if b > 64 && a != 0 && a != 1 && a != -1 {
			return nil, errOverflow
		}
		if b > 64 {
			b = 64 + b%2
		}
		var v value = int64(1)
		for ; b > 0; b-- {
			var err error
			if v, err = integers64("*", v.(int64), a); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
	return c, nil
}

func floats64(op string, a, b float64) (value, error) {
	switch op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "**":
		c := math.Pow(a, b)
		if math.IsNaN(c) || math.IsInf(c, 0) {
			return nil, errOverflow
		}
		return c, nil
	}
	if b == 0 {
		return nil, fmt.Errorf("division by zero")
	}
	switch op {
	case "/":
		return a / b, nil
	case "//":
		return math.Floor(a / b), nil
	}
	rest := math.Mod(a, b)
	if rest != 0 && (rest < 0) != (b < 0) {
		rest += b
	}
	return rest, nil
}
