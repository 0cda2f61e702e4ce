package method

import (
	"fmt"
	"slices"

	"loupe/probe/text"
)

// Anchors that take a concept's place.
const (
	AnchorSuper     = "super"     // its super-category
	AnchorNeighbour = "neighbour" // its first neighbour
)

// TaskConfig says what is erased from what.
type TaskConfig struct {
	Domain  string   `json:"domain" doc:"of the concepts" enum:"objects,people,sensitive,styles"`
	Erase   []string `json:"erase" doc:"concepts that are erased; empty: all of the domain"`
	Anchor  string   `json:"anchor" doc:"what takes a concept's place" enum:"super,neighbour"`
	Cross   string   `json:"cross" doc:"domain whose concepts are kept too" enum:"objects,people,sensitive,styles"`
	Benign  int      `json:"benign" doc:"ordinary sentences for fitting"`
	HeldOut int      `json:"held_out" doc:"ordinary sentences that no fit sees"`
	Seed    int64    `json:"seed" doc:"seed of the ordinary sentences and of what methods draw"`
}

// DefaultTask erases a dog.
func DefaultTask() TaskConfig {
	return TaskConfig{Domain: "objects", Erase: []string{"dog"}, Anchor: AnchorNeighbour, Cross: "styles", Benign: 256, HeldOut: 128, Seed: 1}
}

// Validate checks what needs no data.
func (c TaskConfig) Validate() error {
	if c.Domain == c.Cross {
		return fmt.Errorf("cross is %q, the domain itself; name another one", c.Cross)
	}
	if c.Anchor != AnchorSuper && c.Anchor != AnchorNeighbour {
		return fmt.Errorf("anchor is %q; use %s or %s", c.Anchor, AnchorSuper, AnchorNeighbour)
	}
	if c.Benign < 2 || c.HeldOut < 1 {
		return fmt.Errorf("benign is %d and held_out %d; use 2 and 1 or more", c.Benign, c.HeldOut)
	}
	return nil
}

// Target is one concept with its texts. Prompts of one template stand at one index in Fit, AnchorFit and each of NeighbourFit and
// SynonymFit, and in Held, AnchorHeld and each of SynonymHeld.
type Target struct {
	text.ErasureConcept
	Anchor       string
	Fit          []string   // its name in the templates for fitting
	AnchorFit    []string   // the anchor's
	NeighbourFit [][]string // its neighbours'
	SynonymFit   [][]string // its synonyms'
	Held         []string   // its name in the held-out templates
	AnchorHeld   []string
	SynonymHeld  [][]string // its synonyms'
}

// Task is what to erase and what to keep.
type Task struct {
	Domain  string
	Erase   []Target // at once
	Keep    []Target // the domain's other concepts
	Cross   []Target // another domain's, to be kept too
	Benign  []string // ordinary sentences for fitting: priors, gates
	HeldOut []string // ordinary sentences that no fit sees
	Seed    int64
}

// NewTask builds a task from the suite that comes with loupe.
func NewTask(cfg TaskConfig) (*Task, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	domains, err := text.ErasureSuite()
	if err != nil {
		return nil, err
	}
	t := &Task{Domain: cfg.Domain, Seed: cfg.Seed}
	for _, d := range domains {
		switch d.Name {
		case cfg.Domain:
			for _, name := range cfg.Erase {
				if _, err := d.Concept(name); err != nil {
					return nil, fmt.Errorf("task: erase: %w", err)
				}
			}
			for _, c := range d.Concepts {
				target := newTarget(d, c, cfg.Anchor)
				if len(cfg.Erase) == 0 || slices.Contains(cfg.Erase, c.Name) {
					t.Erase = append(t.Erase, target)
				} else {
					t.Keep = append(t.Keep, target)
				}
			}
		case cfg.Cross:
			for _, c := range d.Concepts {
				t.Cross = append(t.Cross, newTarget(d, c, cfg.Anchor))
			}
		}
	}
	if len(t.Erase) == 0 || len(t.Cross) == 0 {
		return nil, fmt.Errorf("task: the suite has no domain %q or no %q", cfg.Domain, cfg.Cross)
	}
	ordinary, err := text.Neutral(cfg.Seed, cfg.Benign+cfg.HeldOut)
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	t.Benign, t.HeldOut = ordinary[:cfg.Benign], ordinary[cfg.Benign:]
	return t, nil
}

// NewTarget makes a target of a name that the suite has not, in the templates of one of its domains. It has no synonyms, neighbours or
// descriptions.
func NewTarget(domain, name, anchor string) (Target, error) {
	domains, err := text.ErasureSuite()
	if err != nil {
		return Target{}, err
	}
	for _, d := range domains {
		if d.Name == domain {
			t := newTarget(d, text.ErasureConcept{Name: name, Domain: domain, Super: anchor}, AnchorSuper)
			t.Fit, t.Held = texts(d.Named(name, false)), texts(d.Named(name, true))
			return t, nil
		}
	}
	return Target{}, fmt.Errorf("task: the suite has no domain %q", domain)
}

func newTarget(d text.ErasureDomain, c text.ErasureConcept, anchor string) Target {
	t := Target{ErasureConcept: c, Anchor: c.Super, Fit: texts(d.Prompts(c, false)), Held: texts(d.Prompts(c, true))}
	if anchor == AnchorNeighbour {
		t.Anchor = c.Neighbours[0]
	}
	t.AnchorFit, t.AnchorHeld = texts(d.Named(t.Anchor, false)), texts(d.Named(t.Anchor, true))
	for _, n := range c.Neighbours {
		t.NeighbourFit = append(t.NeighbourFit, texts(d.Named(n, false)))
	}
	for _, s := range c.Synonyms {
		t.SynonymFit, t.SynonymHeld = append(t.SynonymFit, texts(d.Named(s, false))), append(t.SynonymHeld, texts(d.Named(s, true)))
	}
	return t
}

func texts(list []text.Labelled) []string {
	out := make([]string, len(list))
	for i, l := range list {
		out[i] = l.Text
	}
	return out
}

// Prompts are all fitting prompts of targets, one target after the other.
func Prompts(targets []Target) (out []string) {
	for _, t := range targets {
		out = append(out, t.Fit...)
	}
	return out
}

// Preserved are the fitting prompts of every concept that is kept, of the domain and of the other one.
func (t *Task) Preserved() []string { return append(Prompts(t.Keep), Prompts(t.Cross)...) }

// Concepts are the domain's concepts in a fixed order, those that are erased first; the classes of an evaluation.
func (t *Task) Concepts() []Target { return append(slices.Clone(t.Erase), t.Keep...) }
