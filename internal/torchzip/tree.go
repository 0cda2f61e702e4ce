package torchzip

import (
	"errors"
	"fmt"
	"strconv"
)

// Limits of the tree that Root returns. A pickle may name a value many times, so a small file can stand for a huge tree.
const (
	maxNodes = 1 << 20
	maxDepth = 64
)

// Tuple is a Python tuple, or a torch.Size.
type Tuple []any

// Item is an entry of a [Dict].
type Item struct {
	Key   any // string, int64 or bool
	Value any
}

// Dict is a Python dict or OrderedDict, in the order of the file.
type Dict struct {
	items []Item
	index map[any]int
}

// Items returns the entries in order. The caller must not change them.
func (d *Dict) Items() []Item { return d.items }

// Get returns the value of a key.
func (d *Dict) Get(key string) (any, bool) {
	i, ok := d.index[key]
	if !ok {
		return nil, false
	}
	return d.items[i].Value, true
}

func (d *Dict) set(key, value any) error {
	switch key.(type) {
	case string, int64, bool:
	default:
		return fmt.Errorf("a dictionary has a key of type %s; text, integers and bools are read", kindOf(key))
	}
	if i, ok := d.index[key]; ok {
		d.items[i].Value = value
		return nil
	}
	if d.index == nil {
		d.index = map[any]int{}
	}
	d.index[key] = len(d.items)
	d.items = append(d.items, Item{key, value})
	return nil
}

// plant copies the machine's graph of values into a tree: shared values are copied, except tensors, and cycles, excess
// depth and size are errors.
func plant(root any) (any, error) {
	nodes := 0
	var walk func(v any, depth int) (any, error)
	walkAll := func(items []any, depth int) ([]any, error) {
		out := make([]any, 0, min(len(items), maxNodes))
		for _, item := range items {
			v, err := walk(item, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
	walk = func(v any, depth int) (any, error) {
		if nodes++; nodes > maxNodes {
			return nil, fmt.Errorf("the saved object has more than %d values; save a state_dict, which names tensors only", maxNodes)
		}
		if depth > maxDepth {
			return nil, fmt.Errorf("the saved object is nested more than %d deep, or contains itself", maxDepth)
		}
		switch v := v.(type) {
		case *list:
			return walkAll(v.items, depth)
		case Tuple:
			items, err := walkAll(v, depth)
			return Tuple(items), err
		case *Dict:
			out := &Dict{}
			for _, item := range v.items {
				value, err := walk(item.Value, depth+1)
				if err != nil {
					return nil, err
				}
				if err := out.set(item.Key, value); err != nil {
					return nil, err
				}
			}
			return out, nil
		case global, storage:
			return nil, fmt.Errorf("the saved object holds a %s; save a state_dict, a dictionary of tensors", kindOf(v))
		}
		return v, nil
	}
	return walk(root, 0)
}

// Tensors returns every tensor of a tree by its dotted path, such as "model.encoder.weight" or "layers.0". Two tensors
// whose paths are spelled alike are an error.
func Tensors(root any) (map[string]*Tensor, error) {
	out := map[string]*Tensor{}
	var walk func(path string, v any) error
	join := func(path string, key any) string {
		if path == "" {
			return fmt.Sprint(key)
		}
		return fmt.Sprintf("%s.%v", path, key)
	}
	walkAll := func(path string, items []any) error {
		for i, item := range items {
			if err := walk(join(path, strconv.Itoa(i)), item); err != nil {
				return err
			}
		}
		return nil
	}
	walk = func(path string, v any) error {
		switch v := v.(type) {
		case *Tensor:
			if out[path] != nil {
				return fmt.Errorf("torchzip: two tensors are called %.80q; walk the tree instead", path)
			}
			out[path] = v
		case []any:
			return walkAll(path, v)
		case Tuple:
			return walkAll(path, v)
		case *Dict:
			for _, item := range v.items {
				if err := walk(join(path, item.Key), item.Value); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if root == nil {
		return nil, errors.New("torchzip: no tree; pass the Root of a file")
	}
	return out, walk("", root)
}

// kindOf names the type of a value as Python would.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case []byte:
		return "bytes"
	case *list, []any:
		return "list"
	case Tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case *Tensor:
		return "tensor"
	case storage:
		return "storage"
	case global:
		return "name " + string(v)
	}
	return fmt.Sprintf("%T", v)
}
