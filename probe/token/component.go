package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrUnsupported says that a tokenizer uses a part that this package does not know. The text around it names the part.
var ErrUnsupported = errors.New("unsupported")

// kindOf reads the "type" of a component; raw must be a JSON object.
func kindOf(stage string, raw json.RawMessage) (string, error) {
	var head struct {
		Type *string `json:"type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return "", fmt.Errorf("token: %s: %w", stage, err)
	}
	if head.Type == nil {
		return "", fmt.Errorf("token: %s without a \"type\": %w; save it again with the tokenizers library", stage, ErrUnsupported)
	}
	return *head.Type, nil
}

// decode fills into from a component. A field that into lacks is an error: it could change what the component does.
func decode(stage, kind string, raw json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("token: %s %s: %w", stage, kind, err)
	}
	return nil
}

// unknown is the error for a component type that this package does not have.
func unknown(stage, kind string) error {
	return fmt.Errorf("token: %s %q: %w; this package has none of that type, so the ids would be wrong", stage, kind, ErrUnsupported)
}

// isNull tells whether a component is absent.
func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// header is the "type" field, embedded so that strict decoding accepts it.
type header struct {
	Type string `json:"type"`
}
