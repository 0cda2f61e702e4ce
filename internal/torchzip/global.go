package torchzip

import (
	"bytes"
	"errors"
	"fmt"
)

// global is a name that the allow-list has.
type global string

// The constructors of the allow-list.
const (
	globalOrderedDict = global("collections.OrderedDict")
	globalTensorV2    = global("torch._utils._rebuild_tensor_v2")
	globalTensor      = global("torch._utils._rebuild_tensor")
	globalParameter   = global("torch._utils._rebuild_parameter")
	globalSize        = global("torch.Size")
	globalDevice      = global("torch.device")
)

// storageTypes maps the storage classes of the allow-list to safetensors's names of the element types.
var storageTypes = map[global]string{
	"torch.DoubleStorage": "F64", "torch.FloatStorage": "F32", "torch.HalfStorage": "F16", "torch.BFloat16Storage": "BF16",
	"torch.LongStorage": "I64", "torch.IntStorage": "I32", "torch.ShortStorage": "I16", "torch.CharStorage": "I8",
	"torch.ByteStorage": "U8", "torch.BoolStorage": "BOOL",
}

// torchDTypes are the names of element types, which configurations hold; they become text.
var torchDTypes = map[global]bool{
	"torch.float64": true, "torch.float32": true, "torch.float16": true, "torch.bfloat16": true,
	"torch.int64": true, "torch.int32": true, "torch.int16": true, "torch.int8": true, "torch.uint8": true, "torch.bool": true,
}

// storage is a persistent id: the elements of one member of the archive.
type storage struct {
	dtype string
	data  []byte
}

// global pushes an allowed name.
func (m *machine) global(op byte) error {
	var module, name string
	if op == opGlobal {
		for _, at := range []*string{&module, &name} {
			rest := m.code[m.pos:]
			end := bytes.IndexByte(rest[:min(len(rest), 256)], '\n')
			if end < 0 {
				return errors.New("a global without an end, or one above 256 bytes")
			}
			*at = string(rest[:end])
			m.pos += end + 1
		}
	} else {
		for _, at := range []*string{&name, &module} {
			v, err := m.pop()
			if err != nil {
				return err
			}
			text, ok := v.(string)
			if !ok {
				return fmt.Errorf("a global's name is a %s", kindOf(v))
			}
			*at = text
		}
	}
	g := global(module + "." + name)
	switch g {
	case globalOrderedDict, globalTensorV2, globalTensor, globalParameter, globalSize, globalDevice:
		return m.push(g)
	}
	if storageTypes[g] != "" {
		return m.push(g)
	}
	if torchDTypes[g] {
		return m.push(string(g))
	}
	return fmt.Errorf("global %.120q is not allowed: a checkpoint may only name tensors, and loading others can run code; save a state_dict, a dictionary of tensors", g)
}

// reduce applies an allowed name to its arguments.
func (m *machine) reduce() error {
	top, err := m.operands(true, 2)
	if err != nil {
		return err
	}
	name, isName := top[0].(global)
	args, isTuple := top[1].(Tuple)
	if !isName || !isTuple {
		return fmt.Errorf("a %s is applied to a %s", kindOf(top[0]), kindOf(top[1]))
	}
	v, err := construct(name, args)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return m.push(v)
}

// construct makes the value that an allowed name stands for.
func construct(name global, args Tuple) (any, error) {
	switch name {
	case globalOrderedDict:
		return orderedDict(args)
	case globalTensorV2, globalTensor:
		if len(args) < 4 {
			return nil, fmt.Errorf("%d arguments, want at least 4", len(args))
		}
		return rebuild(args)
	case globalParameter:
		if len(args) > 0 {
			if t, ok := args[0].(*Tensor); ok {
				return t, nil
			}
		}
		return nil, errors.New("want a tensor")
	case globalSize:
		if len(args) == 1 {
			if dims, ok := args[0].(Tuple); ok {
				return dims, nil
			}
		}
		return nil, errors.New("want one tuple of sizes")
	case globalDevice:
		if len(args) > 0 {
			if kind, ok := args[0].(string); ok {
				if len(args) == 2 {
					return fmt.Sprintf("%s:%v", kind, args[1]), nil
				}
				return kind, nil
			}
		}
		return nil, errors.New("want the name of a device")
	}
	return nil, errors.New("it cannot be called")
}

// orderedDict makes a dictionary from nothing or from a list of pairs.
func orderedDict(args Tuple) (*Dict, error) {
	d := &Dict{}
	if len(args) == 0 {
		return d, nil
	}
	pairs, ok := args[0].(*list)
	if !ok || len(args) > 1 {
		return nil, errors.New("want a list of pairs")
	}
	for _, item := range pairs.items {
		var pair []any
		switch v := item.(type) {
		case *list:
			pair = v.items
		case Tuple:
			pair = v
		}
		if len(pair) != 2 {
			return nil, errors.New("want a list of pairs")
		}
		if err := d.set(pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// storage resolves a persistent id ("storage", type, key, device, elements).
func (m *machine) storage() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	id, ok := v.(Tuple)
	if !ok || len(id) != 5 || id[0] != "storage" {
		return fmt.Errorf("a persistent id is a %s of another form than torch.save's", kindOf(v))
	}
	class, isClass := id[1].(global)
	key, isKey := id[2].(string)
	n, isCount := id[4].(int64)
	dtype := storageTypes[class]
	if !isClass || !isKey || !isCount || dtype == "" {
		return fmt.Errorf("a persistent id of type %v, key %v, elements %v is not of torch.save's form", kindOf(id[1]), kindOf(id[2]), kindOf(id[4]))
	}
	data, ok := m.storages[key]
	if !ok {
		if data, err = m.bytes(key); err != nil {
			return err
		}
		m.storages[key] = data
	}
	if size := int64(sizeOf(dtype)); n < 0 || n > int64(len(data)) || n*size != int64(len(data)) {
		return fmt.Errorf("storage %.80q claims %d elements of %s, but its member has %d bytes; save the file again", key, n, dtype, len(data))
	}
	return m.push(storage{dtype: dtype, data: data})
}
