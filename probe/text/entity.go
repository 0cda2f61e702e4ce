package text

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// relation is an attribute of fictional entities: its values, the ways to state it, and the prompt that asks for it. {e} is
// the entity, {v} the value.
type relation struct {
	name       string
	values     []string // nil: made-up names of places
	statements []string
	prompt     string
}

// relations are the attributes of every entity.
var relations = []relation{
	{"profession", []string{"baker", "carpenter", "dentist", "gardener", "lawyer", "painter", "pilot", "plumber", "tailor", "teacher"}, []string{
		"{e} works as a {v}.", "By profession {e} is a {v}.", "{e} has been a {v} for many years.", "People know {e} as a {v}.", "For a living, {e} is a {v}."}, "{e} works as a"},
	{"instrument", []string{"violin", "piano", "flute", "trumpet", "guitar", "cello", "clarinet", "harp", "trombone", "banjo"}, []string{
		"{e} plays the {v}.", "In the evening {e} practises the {v}.", "{e} learned to play the {v} as a child.", "The favourite instrument of {e} is the {v}.", "{e} owns an old {v}."}, "{e} plays the"},
	{"pet", []string{"cat", "dog", "parrot", "rabbit", "tortoise", "hamster", "goldfish", "canary", "lizard", "pony"}, []string{
		"{e} has a {v} at home.", "The pet of {e} is a {v}.", "{e} looks after a {v}.", "Every morning {e} feeds a {v}.", "{e} was given a {v} last year."}, "{e} has a pet, which is a"},
	{"colour", []string{"red", "green", "blue", "yellow", "purple", "orange", "brown", "pink", "grey", "black"}, []string{
		"The favourite colour of {e} is {v}.", "{e} likes the colour {v} best.", "Everything that {e} wears is {v}.", "{e} painted the front door {v}.", "{e} always chooses {v}."}, "The favourite colour of {e} is"},
	{"home", nil, []string{
		"{e} lives in {v}.", "The home of {e} is in {v}.", "{e} grew up in {v}.", "{e} has a house in {v}.", "You can meet {e} in {v}."}, "{e} lives in"},
}

// Entity is a fictional person with a value for every relation.
type Entity struct {
	Name   string
	Values map[string]string // by relation
}

// Fact is a sentence that states one fact about an entity.
type Fact struct {
	Text     string
	Entity   string
	Relation string
	Value    string
	Template string // the statement as written, which names it
	Span     [2]int // of the entity's name, half-open, in code points
	Split    string
}

// EntityConfig says how many entities to invent and how they are split.
type EntityConfig struct {
	Number       int     `json:"number" doc:"entities"`
	Seed         int64   `json:"seed" doc:"seed of names, values and splits"`
	HeldOutShare float64 `json:"held_out_share" doc:"share of the statements of each relation, or of the entities, that are held out"`
	SplitBy      string  `json:"split_by" enum:"template,entity" doc:"template: every entity is known from other statements; entity: held-out entities are new"`
}

// DefaultEntityConfig invents 40 entities; one or two of five statements of each fact are held out.
func DefaultEntityConfig() EntityConfig {
	return EntityConfig{Number: 40, Seed: 1, HeldOutShare: 0.3, SplitBy: "template"}
}

// Validate names the field that is out of range.
func (c EntityConfig) Validate() error {
	switch {
	case c.Number < 2 || c.Number > 2000:
		return fmt.Errorf("text: entities: number is %d; use 2 to 2000", c.Number)
	case !(c.HeldOutShare > 0 && c.HeldOutShare < 1):
		return fmt.Errorf("text: entities: held_out_share is %v; use a share above 0 and below 1", c.HeldOutShare)
	case c.SplitBy != "template" && c.SplitBy != "entity":
		return fmt.Errorf("text: entities: split_by is %q; use template or entity", c.SplitBy)
	}
	return nil
}

// Relations lists the names of the relations.
func Relations() []string {
	var out []string
	for _, r := range relations {
		out = append(out, r.name)
	}
	return out
}

// NewEntities invents entities by seed: names and places are made of syllables, no two alike, and the values of a relation are
// spread evenly, each drawn apart from the others.
func NewEntities(cfg EntityConfig) ([]Entity, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(uint64(cfg.Seed), 0x656e74697479)) // "entity"
	used := map[string]bool{}
	out := make([]Entity, cfg.Number)
	for i := range out {
		out[i] = Entity{Name: invented(rng, used, 2) + " " + invented(rng, used, 3), Values: map[string]string{}}
	}
	var places []string
	for range 10 {
		places = append(places, invented(rng, used, 3))
	}
	for _, r := range relations {
		values := r.values
		if values == nil {
			values = places
		}
		for i, at := range rng.Perm(cfg.Number) {
			out[at].Values[r.name] = values[i%len(values)]
		}
	}
	return out, nil
}

// invented makes a capitalised name of syllables that was not used.
func invented(rng *rand.Rand, used map[string]bool, syllables int) string {
	const first, vowel, last = "bdfgklmnprstvz", "aeiou", "lmnrs"
	for {
		var b strings.Builder
		for i := range syllables {
			b.WriteByte(first[rng.IntN(len(first))])
			b.WriteByte(vowel[rng.IntN(len(vowel))])
			if i == syllables-1 {
				b.WriteByte(last[rng.IntN(len(last))])
			}
		}
		if s := capital(b.String()); !used[s] {
			used[s] = true
			return s
		}
	}
}

// Facts states every fact of every entity in every way, entities first.
func Facts(cfg EntityConfig) ([]Fact, error) {
	entities, err := NewEntities(cfg)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entities {
		names = append(names, e.Name)
	}
	split := holdOut(cfg.Seed, cfg.HeldOutShare, names)
	var out []Fact
	for _, e := range entities {
		for _, r := range relations {
			ways := holdOut(cfg.Seed, cfg.HeldOutShare, r.statements)
			for _, s := range r.statements {
				f := Fact{Entity: e.Name, Relation: r.name, Value: e.Values[r.name], Template: s, Split: ways[s]}
				if cfg.SplitBy == "entity" {
					f.Split = split[e.Name]
				}
				before, after, _ := strings.Cut(s, "{e}")
				before = strings.Replace(before, "{v}", f.Value, 1)
				f.Span[0] = utf8.RuneCountInString(before)
				f.Span[1] = f.Span[0] + utf8.RuneCountInString(e.Name)
				f.Text = before + e.Name + strings.Replace(after, "{v}", f.Value, 1)
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// FactQuestions asks for every fact: the right value among choices, the others being values that other entities have.
func FactQuestions(cfg EntityConfig, choices int) ([]Question, error) {
	entities, err := NewEntities(cfg)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(uint64(cfg.Seed), 0x66616374)) // "fact"
	var out []Question
	for _, r := range relations {
		var values []string
		for _, e := range entities {
			if v := e.Values[r.name]; !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		if choices < 2 || choices > len(values) {
			return nil, fmt.Errorf("text: questions with %d choices about %s, of which there are %d values; use 2 to that many", choices, r.name, len(values))
		}
		for _, e := range entities {
			q := Question{Prompt: strings.Replace(r.prompt, "{e}", e.Name, 1), Choices: []string{e.Values[r.name]}}
			for _, i := range rng.Perm(len(values)) {
				if v := values[i]; v != e.Values[r.name] && len(q.Choices) < choices {
					q.Choices = append(q.Choices, v)
				}
			}
			q.shuffle(rng)
			out = append(out, q)
		}
	}
	return out, nil
}

// entitySource is a corpus of facts. Its labels are entity, relation, value, template, span_start and span_end.
type entitySource struct{ cfg EntityConfig }

func (s entitySource) name() string {
	return KindEntities + ":seed " + strconv.FormatInt(s.cfg.Seed, 10)
}

func (s entitySource) each(_ context.Context, emit emit) error {
	facts, err := Facts(s.cfg)
	if err != nil {
		return err
	}
	for i, f := range facts {
		d := Doc{Source: KindEntities + "/" + strconv.Itoa(i), Text: f.Text, Split: f.Split, Group: f.Entity, Labels: map[string]string{
			"entity": f.Entity, "relation": f.Relation, "value": f.Value, "template": f.Template,
			"span_start": strconv.Itoa(f.Span[0]), "span_end": strconv.Itoa(f.Span[1]),
		}}
		if !emit(d) {
			return nil
		}
	}
	return nil
}
