package task

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxLine is the largest line of a file of prompts, in bytes.
const maxLine = 1 << 20

// ReadJSONL reads a user's prompts: one object a line with clean, corrupted, answers and wrongs (lists), and if wanted task and
// template. An unknown key is an error.
func ReadJSONL(in io.Reader) ([]Prompt, error) {
	var out []Prompt
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 64*1024), maxLine)
	for line := 1; scan.Scan(); line++ {
		text := bytes.TrimSpace(scan.Bytes())
		if len(text) == 0 {
			continue
		}
		var p Prompt
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("task: line %d: %w; write {\"clean\": ..., \"corrupted\": ..., \"answers\": [...], \"wrongs\": [...]}", line, err)
		}
		if dec.More() {
			return nil, fmt.Errorf("task: line %d: text behind the object; write one object a line", line)
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("task: line %d: %w", line, err)
		}
		out = append(out, p)
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("task: behind line of prompt %d: %w; a line may have 1 MiB", len(out), err)
	}
	if len(out) == 0 {
		return nil, errors.New("task: the file has no prompts")
	}
	return out, nil
}

// ReadCSV reads a user's prompts from a table with the columns clean, corrupted, answers and wrongs, the last two as lists divided by
// bars, and if wanted task and template.
func ReadCSV(in io.Reader) ([]Prompt, error) {
	r := csv.NewReader(in)
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("task: header: %w", err)
	}
	known := []string{"clean", "corrupted", "answers", "wrongs", "task", "template"}
	for _, name := range head {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("task: column %q is unknown; use %s", name, strings.Join(known, ", "))
		}
	}
	for _, name := range known[:3] {
		if !slices.Contains(head, name) {
			return nil, fmt.Errorf("task: there is no column %q", name)
		}
	}
	var out []Prompt
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("task: %w", err)
		}
		var p Prompt
		for i, name := range head {
			switch v := row[i]; name {
			case "clean":
				p.Clean = v
			case "corrupted":
				p.Corrupted = v
			case "answers":
				p.Answers = list(v)
			case "wrongs":
				p.Wrongs = list(v)
			case "task":
				p.Task = v
			case "template":
				p.Template = v
			}
		}
		line, _ := r.FieldPos(0)
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("task: line %d: %w", line, err)
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, errors.New("task: the table has no prompts")
	}
	return out, nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "|")
}
