package jinja

import (
	"fmt"
	"slices"
	"strings"
)

func filterReverse(_ *renderer, in value, _ arguments) (value, error) {
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(vs)
	slices.Reverse(out)
	if _, ok := in.(string); ok {
		var b strings.Builder
		for _, s := range out {
			b.WriteString(s.(string))
		}
		return b.String(), nil
	}
	return generator(out), nil
}

// sortedBy sorts by a key, stably.
func sortedBy(vs []value, key func(value) (value, error), reverse bool) ([]value, error) {
	type pair struct{ key, v value }
	pairs := make([]pair, len(vs))
	for i, v := range vs {
		k, err := key(v)
		if err != nil {
			return nil, err
		}
		pairs[i] = pair{k, v}
	}
	var failed error
	slices.SortStableFunc(pairs, func(a, b pair) int {
		c, err := compare(a.key, b.key)
		if err != nil {
			failed = err
		}
		if reverse {
			return -c
		}
		return c
	})
	out := make([]value, len(vs))
	for i, p := range pairs {
		out[i] = p.v
	}
	return out, failed
}

// folded makes strings compare without case unless that counts.
func folded(v value, caseSensitive bool) value {
	if s, ok := v.(string); ok && !caseSensitive {
		return strings.ToLower(s)
	}
	return v
}

func filterSort(r *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("reverse", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	out, err := sortedBy(vs, func(v value) (value, error) {
		if attr, ok := bound["attribute"].(string); ok {
			if v, err = path(v, attr); err != nil {
				return nil, err
			}
		}
		return folded(v, truthy(bound["case_sensitive"])), nil
	}, truthy(bound["reverse"]))
	return list(out), err
}

func filterUnique(r *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	seen := map[value]bool{}
	var out generator
	for _, v := range vs {
		key := v
		if attr, ok := bound["attribute"].(string); ok {
			if key, err = path(v, attr); err != nil {
				return nil, err
			}
		}
		if !hashable(key) {
			return nil, fmt.Errorf("unhashable type: '%s'", typeName(key))
		}
		if key = hashKey(folded(key, truthy(bound["case_sensitive"]))); !seen[key] {
			seen[key] = true
			out = append(out, v)
		}
	}
	return out, nil
}

func filterDictSort(_ *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("case_sensitive", "by", "reverse")
	if err != nil {
		return nil, err
	}
	d, ok := in.(*Dict)
	if !ok {
		return nil, fmt.Errorf("needs a dict, not %s", typeName(in))
	}
	by := orDefault(bound, "by", "key")
	if by != "key" && by != "value" {
		return nil, fmt.Errorf("by must be key or value")
	}
	out, err := sortedBy(d.items(), func(v value) (value, error) {
		kv := v.(tuple)
		if by == "value" {
			return folded(kv[1], truthy(bound["case_sensitive"])), nil
		}
		return folded(kv[0], truthy(bound["case_sensitive"])), nil
	}, truthy(bound["reverse"]))
	return list(out), err
}

func filterSum(r *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("attribute", "start")
	if err != nil {
		return nil, err
	}
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	if attr, ok := bound["attribute"].(string); ok {
		if vs, err = attributes(vs, attr); err != nil {
			return nil, err
		}
	}
	total := orDefault(bound, "start", int64(0))
	for _, v := range vs {
		if total, err = r.arithmetic("+", total, v); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func extreme(in value, sign int) (value, error) {
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	if len(vs) == 0 {
		return undefined{"an item of an empty list"}, nil
	}
	best := vs[0]
	for _, v := range vs[1:] {
		c, err := compare(folded(v, false), folded(best, false))
		if err != nil {
			return nil, err
		}
		if c*sign > 0 {
			best = v
		}
	}
	return best, nil
}
