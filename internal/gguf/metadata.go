package gguf

import "math"

// Keys lists the metadata keys in the order of the file.
func (f *File) Keys() []string {
	keys := make([]string, len(f.parsed.KeyValues))
	for i, kv := range f.parsed.KeyValues {
		keys[i] = kv.Key
	}
	return keys
}

// String returns the text under key; ok is false when the key is absent or holds another type.
func (f *File) String(key string) (value string, ok bool) { return as[string](f, key) }

// Bool returns the truth value under key; ok is false when the key is absent or holds another type.
func (f *File) Bool(key string) (value, ok bool) { return as[bool](f, key) }

// Strings returns the array of texts under key, which must not be changed; ok is false when the key is absent or
// holds another type.
func (f *File) Strings(key string) (values []string, ok bool) { return as[[]string](f, key) }

// Int returns the integer under key, of whatever width; ok is false when the key is absent, holds another type, or a
// value above the range of int64.
func (f *File) Int(key string) (value int64, ok bool) {
	kv, _ := f.parsed.GetKeyValue(key)
	switch v := kv.Raw().(type) {
	case uint8, int8, uint16, int16, uint32, int32, int64:
		return kv.Int64(), true
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), true
		}
	}
	return 0, false
}

// Float returns the floating-point value under key; ok is false when the key is absent or holds another type.
func (f *File) Float(key string) (value float64, ok bool) {
	switch v := f.raw(key).(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// Ints returns a copy of the integer array under key, of whatever width; ok is false when the key is absent, holds
// another type, or a value above the range of int64.
func (f *File) Ints(key string) (values []int64, ok bool) {
	switch v := f.raw(key).(type) {
	case []uint8:
		return widen[int64](v), true
	case []int8:
		return widen[int64](v), true
	case []uint16:
		return widen[int64](v), true
	case []int16:
		return widen[int64](v), true
	case []uint32:
		return widen[int64](v), true
	case []int32:
		return widen[int64](v), true
	case []int64:
		return widen[int64](v), true
	case []uint64:
		for _, x := range v {
			if x > math.MaxInt64 {
				return nil, false
			}
		}
		return widen[int64](v), true
	}
	return nil, false
}

// Floats returns a copy of the floating-point array under key; ok is false when the key is absent or holds another type.
func (f *File) Floats(key string) (values []float64, ok bool) {
	switch v := f.raw(key).(type) {
	case []float32:
		return widen[float64](v), true
	case []float64:
		return widen[float64](v), true
	}
	return nil, false
}

func (f *File) raw(key string) any {
	kv, _ := f.parsed.GetKeyValue(key)
	return kv.Raw()
}

func as[T any](f *File, key string) (T, bool) {
	value, ok := f.raw(key).(T)
	return value, ok
}

type number interface {
	~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64 | ~float32 | ~float64
}

func widen[To, From number](from []From) []To {
	to := make([]To, len(from))
	for i, v := range from {
		to[i] = To(v)
	}
	return to
}
