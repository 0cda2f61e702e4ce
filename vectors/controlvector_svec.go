package vectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"loupe/internal/atomicfile"
)

// svec is the JSON of IBM's activation-steering (SteeringVector.save).
type svec struct {
	ModelType  string            `json:"model_type"`
	Directions map[int][]float32 `json:"directions"`
	Explained  map[int]float64   `json:"explained_variances"`
}

// WriteSvec writes the control vector as IBM activation-steering's .svec JSON, with each layer's explained variance (may be
// nil).
func (c *ControlVector) WriteSvec(path string, explained map[int]float64) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if explained == nil {
		explained = map[int]float64{}
	}
	err := atomicfile.Write(path, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(svec{c.ModelHint, c.Directions, explained})
	})
	if err != nil {
		return fmt.Errorf("vectors: write %s: %w", path, err)
	}
	return nil
}

// ReadSvec reads a .svec file and each layer's explained variance.
func ReadSvec(path string) (*ControlVector, map[int]float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("vectors: read steering vector: %w", err)
	}
	c, explained, err := parseSvec(text)
	if err != nil {
		return nil, nil, fmt.Errorf("vectors: read %s: %w", path, err)
	}
	return c, explained, nil
}

func parseSvec(text []byte) (*ControlVector, map[int]float64, error) {
	var s svec
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&s); err != nil {
		return nil, nil, fmt.Errorf("it is not .svec JSON: %w", err)
	}
	if dec.More() {
		return nil, nil, fmt.Errorf("text after the JSON object: %w", ErrArgument)
	}
	c := &ControlVector{ModelHint: s.ModelType, Directions: s.Directions}
	return c, s.Explained, c.Validate()
}
