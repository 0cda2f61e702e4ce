package probe

import (
	"fmt"
	"slices"
	"strings"
)

// Leak is a group that is on both sides of a split.
type Leak struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Train int    `json:"train"` // rows
	Test  int    `json:"test"`
}

// Leaks lists the groups that are on both sides, key by key, those with most test rows first.
func Leaks(s Split, keys []Key) []Leak {
	var out []Leak
	for _, k := range keys {
		train := map[string]int{}
		for _, r := range s.Train {
			train[k.Values[r]]++
		}
		test := map[string]int{}
		var order []string
		for _, r := range s.Test {
			v := k.Values[r]
			if v == "" || train[v] == 0 {
				continue
			}
			if test[v] == 0 {
				order = append(order, v)
			}
			test[v]++
		}
		slices.SortStableFunc(order, func(a, b string) int { return test[b] - test[a] })
		for _, v := range order {
			out = append(out, Leak{Key: k.Name, Value: v, Train: train[v], Test: test[v]})
		}
	}
	return out
}

// CheckLeaks is an error that names the first leaks, nil without any.
func CheckLeaks(s Split, keys []Key) error {
	leaks := Leaks(s, keys)
	if len(leaks) == 0 {
		return nil
	}
	var list []string
	for _, l := range leaks[:min(len(leaks), 5)] {
		list = append(list, fmt.Sprintf("%s %q (%d training, %d test rows)", l.Key, l.Value, l.Train, l.Test))
	}
	return fmt.Errorf("probe: %d groups are on both sides of the split, so that held-out does not mean held out: %s; split by %s",
		len(leaks), strings.Join(list, "; "), leaks[0].Key)
}

// TextKey groups rows whose texts are equal but for case and white space.
func TextKey(texts []string) Key {
	k := Key{Name: "text", Values: make([]string, len(texts))}
	for i, t := range texts {
		k.Values[i] = strings.Join(strings.Fields(strings.ToLower(t)), " ")
	}
	return k
}
