package sae

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDescriptionLine limits a line of a file of descriptions, in bytes.
const maxDescriptionLine = 1 << 20

// ReadDescriptions reads descriptions of latents 0 to f-1 from JSON lines {"latent": 3, "description": "..."}. Every line must be
// of that form, and no latent be there twice; the error names the line.
func ReadDescriptions(r io.Reader, f int) (map[int]string, error) {
	out := map[int]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxDescriptionLine)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var entry struct {
			Latent      *int
			Description string
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		err := dec.Decode(&entry)
		if err == nil && dec.More() {
			err = errors.New("more than one value")
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("sae: descriptions: line %d: %w; each line is {\"latent\": 3, \"description\": \"...\"}", n, err)
		case entry.Latent == nil || *entry.Latent < 0 || *entry.Latent >= f:
			return nil, fmt.Errorf("sae: descriptions: line %d: the latent is missing or not one of 0 to %d", n, f-1)
		case strings.TrimSpace(entry.Description) == "":
			return nil, fmt.Errorf("sae: descriptions: line %d: latent %d has no description", n, *entry.Latent)
		case out[*entry.Latent] != "":
			return nil, fmt.Errorf("sae: descriptions: line %d: latent %d is there twice", n, *entry.Latent)
		}
		out[*entry.Latent] = entry.Description
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("sae: descriptions: line %d: %w; lines have at most %d bytes", n+1, err, maxDescriptionLine)
	}
	return out, nil
}

// DescribeByTokens writes the description that needs no model: the tokens that carry the largest shares of a latent's
// activation, as a feature table lists them, until cover of it is named. Spaces around tokens and repetitions are left out.
func DescribeByTokens(tokens []string, shares []float64, cover float64) string {
	var words []string
	seen, sum := map[string]bool{}, 0.0
	for i, token := range tokens {
		if i >= len(shares) || sum >= cover {
			break
		}
		sum += shares[i]
		word := strings.TrimSpace(token)
		if word == "" || seen[strings.ToLower(word)] {
			continue
		}
		seen[strings.ToLower(word)] = true
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}
