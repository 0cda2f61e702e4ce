// Package inventory lists every method, metric, format, data set, model, command and experiment that the work has
// named, with where it is and how it is checked. What does not exist yet is in the list as missing.
//
// The list is data: one YAML file an area in data/. To say that something exists, change its line:
//
//   - {kind: method, name: "TopK", issue: "issue 4, section 1", status: missing}
//   - {kind: method, name: "TopK", issue: "issue 4, section 1", status: present, file: sae/topk.go, check: [golden], tests: [TestGoldenSAE]}
package inventory

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed data/*.yaml
var data embed.FS

// Item is one named thing.
type Item struct {
	Area   string   `yaml:"-" json:"area"`
	Kind   string   `yaml:"kind" json:"kind"` // one of Kinds
	Name   string   `yaml:"name" json:"name"`
	Paper  string   `yaml:"paper" json:"paper,omitempty"` // arXiv id or citation
	Issue  string   `yaml:"issue" json:"issue"`           // where it was named
	Status string   `yaml:"status" json:"status"`         // present or missing
	File   string   `yaml:"file" json:"file,omitempty"`   // the file that holds it, from the module's root
	Check  []string `yaml:"check" json:"check,omitempty"` // each one of Checks
	Tests  []string `yaml:"tests" json:"tests,omitempty"` // what checks it: a function beside the file, or folder.Function
}

// The two states of an item.
const (
	Present = "present"
	Missing = "missing"
)

var (
	// Kinds are the kinds of item.
	Kinds = []string{"method", "metric", "format", "dataset", "model", "command", "experiment"}
	// Checks are the kinds of check: a case computed by hand, a reference implementation's data, a planted truth to
	// be recovered, an identity that must hold, a gradient against finite differences, an invariance.
	Checks = []string{"hand", "golden", "planted", "identity", "gradient", "property"}
)

// area is one file of data/.
type area struct {
	Area  string `yaml:"area"`
	Items []Item `yaml:"items"`
}

// Load returns the whole list: areas in alphabetical order, items in the order of their file.
func Load() ([]Item, error) { return load(data) }

func load(fsys fs.FS) ([]Item, error) {
	files, err := fs.Glob(fsys, "data/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	var all []Item
	for _, name := range files {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("inventory: %w", err)
		}
		var a area
		dec := yaml.NewDecoder(bytes.NewReader(text))
		dec.KnownFields(true)
		if err := dec.Decode(&a); err != nil {
			return nil, fmt.Errorf("inventory: %s: %w", name, err)
		}
		if want := strings.TrimSuffix(strings.TrimPrefix(name, "data/"), ".yaml"); a.Area != want {
			return nil, fmt.Errorf("inventory: %s: area is %q, want %q like the file", name, a.Area, want)
		}
		for i := range a.Items {
			a.Items[i].Area = a.Area
		}
		all = append(all, a.Items...)
	}
	return all, nil
}

// Validate reports every item that lacks a field, has an unknown word, or is there twice.
func Validate(items []Item) error {
	var errs []error
	seen := map[[3]string]bool{}
	for _, i := range items {
		if err := i.validate(); err != nil {
			errs = append(errs, fmt.Errorf("inventory: %s: %s %q: %w", i.Area, i.Kind, i.Name, err))
		}
		key := [3]string{i.Area, i.Kind, i.Name}
		if seen[key] {
			errs = append(errs, fmt.Errorf("inventory: %s: %s %q is there twice", i.Area, i.Kind, i.Name))
		}
		seen[key] = true
	}
	return errors.Join(errs...)
}

func (i Item) validate() error {
	switch {
	case i.Name == "" || i.Area == "":
		return errors.New("no name or area")
	case !slices.Contains(Kinds, i.Kind):
		return fmt.Errorf("kind must be one of %s", strings.Join(Kinds, ", "))
	case i.Issue == "":
		return errors.New("no issue: say where it was named")
	case i.Status == Missing:
		if i.File != "" || len(i.Check) > 0 || len(i.Tests) > 0 {
			return errors.New("it is missing, but has a file, check or test: set status: present")
		}
		return nil
	case i.Status != Present:
		return fmt.Errorf("status must be present or missing, not %q", i.Status)
	case i.File == "":
		return errors.New("present without a file")
	case len(i.Check) == 0 || len(i.Tests) == 0:
		return errors.New("present, but nothing checks it: give check and tests")
	}
	for _, c := range i.Check {
		if !slices.Contains(Checks, c) {
			return fmt.Errorf("check %q must be one of %s", c, strings.Join(Checks, ", "))
		}
	}
	return nil
}

// Areas lists the areas, sorted.
func Areas(items []Item) []string {
	var out []string
	for _, i := range items {
		if !slices.Contains(out, i.Area) {
			out = append(out, i.Area)
		}
	}
	slices.Sort(out)
	return out
}

// Select returns the items of an area or, where no area has the name, of a kind (methods and method alike).
func Select(items []Item, name string) []Item {
	inArea := func(i Item) bool { return i.Area == name }
	if slices.ContainsFunc(items, inArea) {
		return filter(items, inArea)
	}
	return filter(items, func(i Item) bool { return i.Kind == name || i.Kind+"s" == name })
}

// OnlyMissing returns the items that do not exist yet.
func OnlyMissing(items []Item) []Item {
	return filter(items, func(i Item) bool { return i.Status == Missing })
}

func filter(items []Item, keep func(Item) bool) []Item {
	out := []Item{}
	for _, i := range items {
		if keep(i) {
			out = append(out, i)
		}
	}
	return out
}
