package jinja

import "fmt"

// mapped is in | map(attribute=...) or in | map('filter', ...).
func (r *renderer) mapped(in value, args arguments) (value, error) {
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	out := make(generator, len(vs))
	if attr, ok := args.named["attribute"]; ok && len(args.pos) == 0 {
		name := toString(attr)
		for i, v := range vs {
			if out[i], err = path(v, name); err != nil {
				return nil, err
			}
			if _, missing := out[i].(undefined); missing {
				out[i] = orDefault(args.named, "default", out[i])
			}
		}
		return out, nil
	}
	if len(args.pos) == 0 {
		return nil, fmt.Errorf("needs a filter or an attribute")
	}
	name, _ := args.pos[0].(string)
	if _, ok := filters[name]; !ok {
		return nil, fmt.Errorf("unknown filter %q", toString(args.pos[0]))
	}
	inner := arguments{pos: args.pos[1:], named: args.named, order: args.order}
	for i, v := range vs {
		if out[i], err = r.filter(name, v, inner); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// chosen keeps the values for which a test holds, of the value itself or of its attribute. Without a test it is truth.
func (r *renderer) chosen(in value, args arguments, attr string, reject bool) (value, error) {
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	name := ""
	if len(args.pos) > 0 {
		name, _ = args.pos[0].(string)
		if _, ok := tests[name]; !ok {
			return nil, fmt.Errorf("unknown test %q", toString(args.pos[0]))
		}
	}
	out := generator{}
	for _, v := range vs {
		subject := v
		if attr != "" {
			if subject, err = path(v, attr); err != nil {
				return nil, err
			}
		}
		ok := truthy(subject)
		if name != "" {
			if ok, err = r.test(name, subject, args.pos[1:]); err != nil {
				return nil, err
			}
		}
		if ok != reject {
			out = append(out, v)
		}
	}
	return out, nil
}
