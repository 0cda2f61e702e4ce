package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// eachMember reads a JSON object and calls read at each value; a repeated name is an error.
func eachMember(dec *json.Decoder, read func(name string) error) error {
	if err := nextDelim(dec, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		name, err := nextString(dec)
		if err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("%q appears twice", name)
		}
		seen[name] = true
		if err := read(name); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nextDelim(dec, '}')
}

// atEnd demands that only white space is left.
func atEnd(dec *json.Decoder) error {
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("byte %d of the JSON: more follows after the object", dec.InputOffset())
	}
	return nil
}

func nextDelim(dec *json.Decoder, want json.Delim) error {
	token, err := next(dec)
	if err == nil && token != want {
		err = fmt.Errorf("byte %d of the JSON: %v where %q should be", dec.InputOffset(), token, want.String())
	}
	return err
}

func nextString(dec *json.Decoder) (string, error) {
	token, err := next(dec)
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("byte %d of the JSON: %v where a string should be", dec.InputOffset(), token)
	}
	return text, nil
}

// nextInts reads an array of integers that fit in an int.
func nextInts(dec *json.Decoder) ([]int, error) {
	if err := nextDelim(dec, '['); err != nil {
		return nil, err
	}
	ints := []int{}
	for dec.More() {
		token, err := next(dec)
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("byte %d of the JSON: %v where an integer should be", dec.InputOffset(), token)
		}
		value, err := strconv.ParseInt(number.String(), 10, strconv.IntSize)
		if err != nil {
			return nil, fmt.Errorf("byte %d of the JSON: %s is not an integer in range", dec.InputOffset(), number)
		}
		ints = append(ints, int(value))
	}
	return ints, nextDelim(dec, ']')
}

func next(dec *json.Decoder) (json.Token, error) {
	token, err := dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("byte %d of the JSON: %w", dec.InputOffset(), err)
	}
	return token, nil
}
