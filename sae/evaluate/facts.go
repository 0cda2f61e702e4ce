package evaluate

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

//go:embed data/cities.json data/questions.json
var builtin embed.FS

// maxFactsBytes bounds a file of facts or questions.
const maxFactsBytes = 64 << 20

// Facts are entities with attributes, and for each attribute a prompt that begins with the entity, in place of {}, and ends
// before the value.
type Facts struct {
	Prompts  map[string]string `json:"prompts"`
	Entities []Entity          `json:"entities"`
}

// Entity is one entity with a value for every attribute.
type Entity struct {
	Entity string            `json:"entity"`
	Values map[string]string `json:"values"`
}

// ReadFacts reads facts from JSON: {"prompts": {"country": "{} is in the country of", ...}, "entities": [{"entity": "Paris", "values":
// {"country": "France", ...}}, ...]}.
func ReadFacts(r io.Reader) (Facts, error) {
	var f Facts
	if err := readJSON(r, &f); err != nil {
		return f, fmt.Errorf("evaluate: facts: %w", err)
	}
	if len(f.Prompts) < 2 || len(f.Entities) < 4 {
		return f, fmt.Errorf("evaluate: facts: %d attributes and %d entities; two attributes and four entities are the least", len(f.Prompts), len(f.Entities))
	}
	for name, p := range f.Prompts {
		if !strings.HasPrefix(p, "{}") {
			return f, fmt.Errorf("evaluate: facts: the prompt of %s does not begin with {}, so that the entity's activations would differ between prompts", name)
		}
	}
	for i, e := range f.Entities {
		for name := range f.Prompts {
			if e.Entity == "" || e.Values[name] == "" {
				return f, fmt.Errorf("evaluate: facts: entity %d (%q) has no %s", i, e.Entity, name)
			}
		}
	}
	return f, nil
}

// cities are the built-in facts.
func cities() (Facts, error) {
	file, err := builtin.Open("data/cities.json")
	if err != nil {
		return Facts{}, fmt.Errorf("evaluate: %w", err)
	}
	defer file.Close()
	return ReadFacts(file)
}

// attributes lists the attributes in order.
func (f Facts) attributes() []string { return sortedKeys(f.Prompts) }

// prompt is the text in which an attribute of an entity is read.
func (f Facts) prompt(e Entity, attribute string) string {
	return strings.Replace(f.Prompts[attribute], "{}", e.Entity, 1)
}

// values lists an attribute's values in order.
func (f Facts) values(attribute string) []string {
	var out []string
	for _, e := range f.Entities {
		out = append(out, e.Values[attribute])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// readJSON decodes one JSON value strictly, from at most maxFactsBytes.
func readJSON(r io.Reader, into any) error {
	limited := &io.LimitedReader{R: r, N: maxFactsBytes + 1}
	dec := json.NewDecoder(limited)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if limited.N <= 0 {
			return fmt.Errorf("more than %d bytes", maxFactsBytes)
		}
		return err
	}
	if dec.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}
