package config

import (
	"reflect"
	"strings"
	"testing"
)

// Shared is what the root and the elements of its list both have. One default depends on another key.
type Shared struct {
	K     int    `json:"k" doc:"active latents"`
	Train train  `json:"train" doc:"optimisation"`
	Seeds []int  `json:"seeds" doc:"seeds"`
	Arch  string `json:"arch" doc:"architecture" enum:"topk,jumprelu"`
}

// DeriveDefaults implements Deriver.
func (s *Shared) DeriveDefaults() {
	if s.Arch == "jumprelu" {
		s.K, s.Train.LR = 99, 7
	}
}

// Part is an element of the list that inherits.
type Part struct {
	Label string `json:"label" doc:"name"`
	Shared
}

// SetDefaults implements Defaulter.
func (p *Part) SetDefaults() { *p = Part{Shared: sharedDefaults()} }

func sharedDefaults() Shared {
	return Shared{K: 8, Train: train{LR: 0.1, Steps: 3}, Seeds: []int{1}, Arch: "topk"}
}

type inheriting struct {
	Name string `json:"name" doc:"name"`
	Shared
	Archs []string `json:"archs" doc:"a part for each"`
	Parts []Part   `json:"parts" doc:"parts on top of the rest" inherit:"true"`
}

// Expand implements Expander.
func (s *inheriting) Expand() (out []map[string]any) {
	for _, a := range s.Archs {
		out = append(out, map[string]any{"arch": a})
	}
	s.Archs = nil
	return out
}

func inheritingKinds() []Kind {
	return []Kind{{Name: "parts", Doc: "a sample", New: func() any { return &inheriting{Name: "n", Shared: sharedDefaults()} }}}
}

// TestInherit wants elements to have the keys given at the root, wherever and however deep, unless they give them, and
// their own derived defaults under both; to say where a value comes from; and the resolved file to load again to the same.
func TestInherit(t *testing.T) {
	for name, tc := range map[string]struct {
		text    string
		set     []string
		want    []Part
		sources map[string]string
	}{
		"elements": {
			"kind: parts\nk: 16\nparts:\n- label: a\n  train: {steps: 5}\n- label: b\n  k: 4\n  seeds: [2, 3]\n",
			[]string{"train.lr=0.5", "parts.0.arch=jumprelu"},
			[]Part{
				{Label: "a", Shared: Shared{K: 16, Train: train{LR: 0.5, Steps: 5}, Seeds: []int{1}, Arch: "jumprelu"}},
				{Label: "b", Shared: Shared{K: 4, Train: train{LR: 0.5, Steps: 3}, Seeds: []int{2, 3}, Arch: "topk"}},
			},
			map[string]string{
				"parts.0.k": "c.yaml:2", "parts.0.train.steps": "c.yaml:5", "parts.0.train.lr": "--set", "parts.0.arch": "--set",
				"parts.1.k": "c.yaml:7", "parts.1.seeds": "c.yaml:8", "parts.1.label": "c.yaml:6",
			},
		},
		"implied": {
			"kind: parts\narchs: [topk, jumprelu]\ntrain: {steps: 4}\n", nil,
			[]Part{
				{Shared: Shared{K: 8, Train: train{LR: 0.1, Steps: 4}, Seeds: []int{1}, Arch: "topk"}},
				{Shared: Shared{K: 99, Train: train{LR: 7, Steps: 4}, Seeds: []int{1}, Arch: "jumprelu"}},
			},
			map[string]string{"parts.1.train.steps": "c.yaml:3"},
		},
		"a root's derived defaults are its own": {
			"kind: parts\narch: jumprelu\nparts: [{arch: topk}]\n", nil,
			[]Part{{Shared: sharedDefaults()}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Load(inheritingKinds(), Input{Path: write(t, "c.yaml", tc.text), Set: tc.set})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Value.(*inheriting).Parts; !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			got := sources(c)
			for key, source := range tc.sources {
				if got[key] != source {
					t.Errorf("source of %s is %q, want %q", key, got[key], source)
				}
			}
			again, err := Load(inheritingKinds(), Input{Path: write(t, "again.yaml", string(c.YAML()))})
			if err != nil {
				t.Fatal(err)
			}
			first, second := *c.Value.(*inheriting), *again.Value.(*inheriting)
			if first.Archs = second.Archs; !reflect.DeepEqual(first, second) {
				t.Errorf("the resolved file gives %+v, want %+v", second, first)
			}
		})
	}
	for text, want := range map[string]string{
		"kind: parts\nparts: [{kk: 1}]\n":                       `"parts.0.k"`,
		"kind: parts\nparts: [{train: {steps: x}}]\n":           `"parts.0.train.steps"`,
		"kind: parts\ntrain: {lr: 2}\nparts: [{train: here}]\n": `"parts.0.train"`,
		"kind: parts\nparts: [3]\n":                             `"parts.0"`,
	} {
		if _, err := Load(inheritingKinds(), Input{Path: write(t, "bad.yaml", text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
