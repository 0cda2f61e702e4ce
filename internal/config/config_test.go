package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

type coder struct {
	Name string  `json:"name" doc:"name of this one"`
	Arch string  `json:"arch" doc:"architecture" enum:"topk,jumprelu"`
	K    int     `json:"k" doc:"active latents"`
	L1   float32 `json:"l1" doc:"coefficient"`
}

func (c *coder) SetDefaults() { *c = coder{Arch: "topk", K: 32, L1: 0.1} }

type train struct {
	LR    float64 `json:"lr" doc:"learning rate"`
	Steps int     `json:"steps" doc:"steps"`
}

// Common is embedded: its keys belong to the struct around it.
type Common struct {
	Seed uint64 `json:"seed" doc:"random seed"`
	Note string `json:"note" doc:"free text"`
}

// Settings is the struct under test.
type Settings struct {
	Common
	Model  string   `json:"model" doc:"model folder or hub reference"`
	Train  train    `json:"train" doc:"optimisation"`
	Layers []int    `json:"layers" doc:"layers"`
	Tags   []string `json:"tags" doc:"labels" enum:"red,green,two words"`
	Coders []coder  `json:"coders" doc:"what to train"`
	Fast   bool     `json:"fast" doc:"skip checks"`
}

func (s *Settings) Validate() error {
	if s.Train.Steps == 0 {
		return errors.New("train.steps is 0; give at least 1")
	}
	return nil
}

func kinds() []Kind {
	return []Kind{{Name: "demo", Doc: "a sample", New: func() any {
		return &Settings{
			Common: Common{Seed: 7},
			Model:  "minilm", Train: train{LR: 1e-3, Steps: 10}, Layers: []int{4}, Tags: []string{"red"},
			Coders: []coder{{Name: "a", Arch: "topk", K: 8, L1: 0.1}},
		}
	}}}
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sources(c *Config) map[string]string {
	m := map[string]string{}
	for _, v := range c.Values {
		m[v.Key] = v.Source
	}
	return m
}

const demoYAML = `kind: demo
model: smollm2
train:
  lr: 0.01
layers: [1, 2]
coders:
  - name: x
    k: 16
  - name: y
    arch: jumprelu
`

func TestLayers(t *testing.T) {
	path := write(t, "demo.yaml", demoYAML)
	t.Setenv("LOUPE_TRAIN_LR", "0.02")
	t.Setenv("LOUPE_TAGS", "green, two words")
	t.Setenv("LOUPE_MODEL", "from-env")
	c, err := Load(kinds(), Input{Path: path, Set: []string{"model=123", "coders.1.k=4", "fast=true"}})
	if err != nil {
		t.Fatal(err)
	}
	want := &Settings{
		Common: Common{Seed: 7},
		Model:  "123", Train: train{LR: 0.02, Steps: 10}, Layers: []int{1, 2}, Tags: []string{"green", "two words"},
		Coders: []coder{{"x", "topk", 16, 0.1}, {"y", "jumprelu", 4, 0.1}}, Fast: true,
	}
	if !reflect.DeepEqual(c.Value, want) {
		t.Errorf("got  %+v\nwant %+v", c.Value, want)
	}
	wantSources := map[string]string{
		"seed": "default", "note": "default", "model": "--set", "train.lr": "$LOUPE_TRAIN_LR", "train.steps": "default",
		"layers": "demo.yaml:5", "tags": "$LOUPE_TAGS", "fast": "--set",
		"coders.0.name": "demo.yaml:7", "coders.0.k": "demo.yaml:8", "coders.0.arch": "demo.yaml:7", "coders.0.l1": "demo.yaml:7",
		"coders.1.name": "demo.yaml:9", "coders.1.arch": "demo.yaml:10", "coders.1.k": "--set", "coders.1.l1": "demo.yaml:9",
	}
	// A default of a list element shows the place of the list that made it.
	for _, k := range []string{"coders.0.arch", "coders.0.l1", "coders.1.l1"} {
		wantSources[k] = "demo.yaml:7"
	}
	if got := sources(c); !reflect.DeepEqual(got, wantSources) {
		t.Errorf("sources\n got %v\nwant %v", got, wantSources)
	}
}

// derived has a default that depends on another key.
type derived struct {
	Arch string  `json:"arch" doc:"architecture" enum:"topk,jumprelu"`
	LR   float64 `json:"lr" doc:"learning rate"`
	Opt  struct {
		Beta float64 `json:"beta" doc:"decay"`
	} `json:"opt" doc:"optimiser"`
}

func (d *derived) SetDefaults() { *d = derived{Arch: "topk", LR: 1} }

func (d *derived) DeriveDefaults() {
	if d.Arch == "jumprelu" {
		d.LR, d.Opt.Beta = 7, 0.5
	}
}

// derivedSettings has such structs embedded, in a section and in a list.
type derivedSettings struct {
	Derived
	Section derived   `json:"section" doc:"one"`
	List    []derived `json:"list" doc:"several"`
}

// Derived is embedded.
type Derived struct {
	Mode string  `json:"mode" doc:"mode" enum:"slow,fast"`
	Rate float64 `json:"rate" doc:"rate"`
}

func (d *Derived) DeriveDefaults() {
	if d.Mode == "fast" {
		d.Rate = 9
	}
}

func TestDerivedDefaults(t *testing.T) {
	kinds := []Kind{{Name: "derived", New: func() any {
		s := &derivedSettings{List: []derived{}}
		s.Mode, s.Rate = "slow", 2
		s.Section.SetDefaults()
		return s
	}}}
	path := write(t, "d.yaml", "kind: derived\nmode: fast\nsection: {arch: jumprelu, opt: {beta: 0.25}}\nlist: [{arch: jumprelu}, {arch: jumprelu, lr: 3}, {}]\n")
	load := func(set ...string) *derivedSettings {
		c, err := Load(kinds, Input{Path: path, Set: set})
		if err != nil {
			t.Fatal(err)
		}
		return c.Value.(*derivedSettings)
	}
	s := load("list.2.opt.beta=0.125")
	if s.Rate != 9 || s.Section.LR != 7 || s.Section.Opt.Beta != 0.25 {
		t.Errorf("rate %v, section %+v; want 9, lr 7 derived and beta 0.25 given", s.Rate, s.Section)
	}
	if l := s.List; l[0].LR != 7 || l[0].Opt.Beta != 0.5 || l[1].LR != 3 || l[2].LR != 1 || l[2].Opt.Beta != 0.125 {
		t.Errorf("list %+v", l)
	}
	if s := load("mode=slow", "section.arch=topk"); s.Rate != 2 || s.Section.LR != 1 {
		t.Errorf("rate %v, section %+v; want the plain defaults", s.Rate, s.Section)
	}
	if s := load("rate=2"); s.Rate != 2 {
		t.Errorf("rate %v, want the given 2, which is the plain default too", s.Rate)
	}
}

func TestFormatsAgree(t *testing.T) {
	files := map[string]string{
		"a.yaml": demoYAML,
		"a.json": `{"kind": "demo", "model": "smollm2", "train": {"lr": 0.01}, "layers": [1, 2],
 "coders": [{"name": "x", "k": 16}, {"name": "y", "arch": "jumprelu"}]}`,
		"a.toml": "kind = 'demo'\nmodel = 'smollm2'\nlayers = [1, 2]\n[train]\nlr = 0.01\n[[coders]]\nname = 'x'\nk = 16\n[[coders]]\nname = 'y'\narch = 'jumprelu'\n",
	}
	hashes := map[string]string{}
	for name, text := range files {
		c, err := Load(kinds(), Input{Path: write(t, name, text)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if hashes[name], err = c.Hash(); err != nil {
			t.Fatal(err)
		}
	}
	if hashes["a.yaml"] != hashes["a.json"] || hashes["a.yaml"] != hashes["a.toml"] {
		t.Errorf("one configuration in three formats has the hashes %v", hashes)
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name, file, text string
		set, want        []string
	}{
		{"unknown key", "c.yaml", "kind: demo\nmodle: x\n", nil, []string{"c.yaml:2", `"modle"`, `"model"`}},
		{"unknown nested key", "c.yaml", "kind: demo\ntrain:\n  stepz: 3\n", nil, []string{"c.yaml:3", `"train.stepz"`, `"train.steps"`}},
		{"key of a section at the top", "c.yaml", "kind: demo\nlr: 3\n", nil, []string{`"lr"`, `"train.lr"`}},
		{"unknown key in a list", "c.yaml", "kind: demo\ncoders:\n- {name: a, kk: 3}\n", nil, []string{"c.yaml:3", `"coders.0.kk"`, `"coders.0.k"`}},
		{"nothing near", "c.yaml", "kind: demo\nzzzzzzzzzz: 3\n", nil, []string{"zzzzzzzzzz", "known here: coders, fast"}},
		{"wrong case", "c.yaml", "kind: demo\nModel: x\n", nil, []string{`"Model"`, `"model"`}},
		{"several problems", "c.yaml", "kind: demo\nmodle: x\ntrian: 1\n", nil, []string{"modle", "trian"}},
		{"type", "c.yaml", "kind: demo\ntrain:\n  steps: many\n", nil, []string{"c.yaml:3", `"train.steps"`, "a whole number", `"many"`}},
		{"fraction", "c.yaml", "kind: demo\ntrain: {steps: 1.5}\n", nil, []string{"train.steps", "a whole number", "1.5"}},
		{"bool for number", "c.yaml", "kind: demo\ntrain: {lr: true}\n", nil, []string{"train.lr", "a number"}},
		{"number for string", "c.yaml", "kind: demo\nmodel: 12\n", nil, []string{"model", "a string", "quotes"}},
		{"negative seed", "c.yaml", "kind: demo\nseed: -1\n", nil, []string{"seed", ">= 0"}},
		{"big seed in JSON", "c.json", `{"kind":"demo","seed":18446744073709551615}`, nil, []string{"seed"}},
		{"NaN", "c.yaml", "kind: demo\ntrain: {lr: .nan}\n", nil, []string{"train.lr", "NaN"}},
		{"enum", "c.yaml", "kind: demo\ncoders: [{arch: topq}]\n", nil, []string{"coders.0.arch", "topk, jumprelu", "topq"}},
		{"no value", "c.yaml", "kind: demo\nmodel:\n", nil, []string{"c.yaml:2", "model", "no value"}},
		{"section for a scalar", "c.yaml", "kind: demo\nmodel: {a: 1}\n", nil, []string{"model", "a string"}},
		{"scalar for a section", "c.yaml", "kind: demo\ntrain: 3\n", nil, []string{"train", "section"}},
		{"twice in JSON", "c.json", "{\"kind\":\"demo\",\n\"model\":\"a\",\n\"model\":\"b\"}", nil, []string{"c.json:3", "twice", "line 2"}},
		{"alias", "c.yaml", "kind: demo\nmodel: &a x\n", nil, []string{"line 2", "anchors"}},
		{"two documents", "c.yaml", "kind: demo\n---\nkind: demo\n", nil, []string{"second document"}},
		{"no kind", "c.yaml", "model: x\n", nil, []string{`"kind"`, "missing"}},
		{"unknown kind", "c.yaml", "kind: dmeo\n", nil, []string{`"dmeo"`, `"demo"`}},
		{"empty", "c.yaml", "", nil, []string{"empty"}},
		{"cut JSON", "c.json", `{"kind": "demo",`, nil, []string{"c.json", "line 1"}},
		{"unknown type", "c.ini", "", nil, []string{".ini", ".yaml"}},
		{"validate", "c.yaml", "kind: demo\ntrain: {steps: 0}\n", nil, []string{"train.steps is 0", "c.yaml"}},
		{"set unknown", "c.yaml", "kind: demo\n", []string{"train.rl=3"}, []string{"--set", `"train.rl"`, `"train.lr"`}},
		{"set type", "c.yaml", "kind: demo\n", []string{"train.steps=x"}, []string{"--set", "train.steps", "a whole number"}},
		{"set null", "c.yaml", "kind: demo\n", []string{"train.steps=null"}, []string{"--set", "no value"}},
		{"set without =", "c.yaml", "kind: demo\n", []string{"train"}, []string{"key=value"}},
		{"set a section", "c.yaml", "kind: demo\n", []string{"train=3"}, []string{"section", "train.lr"}},
		{"set beyond a list", "c.yaml", "kind: demo\n", []string{"coders.3.k=3"}, []string{"1 elements", "3"}},
		{"set below a scalar", "c.yaml", "kind: demo\n", []string{"model.x=3"}, []string{"no keys below"}},
		{"set unknown in a list", "c.yaml", "kind: demo\n", []string{"coders=[{name: a, kk: 1}]"}, []string{"--set", "coders.0.kk", "coders.0.k"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(kinds(), Input{Path: write(t, tc.file, tc.text), Set: tc.set})
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not contain %q", err, w)
				}
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LOUPE_TRAIN_STEPS", "ten")
	if _, err := Load(kinds(), Input{Kind: "demo"}); err == nil || !strings.Contains(err.Error(), "$LOUPE_TRAIN_STEPS") {
		t.Errorf("error does not name the variable: %v", err)
	}
	t.Setenv("LOUPE_TRAIN_STEPS", "")
	t.Setenv("LOUPE_TRAIN_STEP", "3")
	t.Setenv("LOUPE_LAYERS", "[3, 5]")
	c, err := Load(kinds(), Input{Kind: "demo", Set: []string{"layers.1=9"}})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Value.(*Settings)
	if s.Train.Steps != 10 || !reflect.DeepEqual(s.Layers, []int{3, 9}) {
		t.Errorf("steps %d, layers %v", s.Train.Steps, s.Layers)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "LOUPE_TRAIN_STEPS") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

func TestRoundTrip(t *testing.T) {
	hostile := "# - : \"'\n\t\\ é 日本 \u2028 ~ yes"
	c, err := Load(kinds(), Input{Path: write(t, "a.yaml", demoYAML), Set: []string{"note=" + hostile, "train.lr=1e-7", "seed=18446744073709551615", "tags=[]", "model=yes"}})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := c.Hash()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(kinds(), Input{Path: write(t, "b.yaml", string(c.YAML()))})
	if err != nil {
		t.Fatalf("%v in\n%s", err, c.YAML())
	}
	if !reflect.DeepEqual(again.Value, c.Value) {
		t.Errorf("after a round trip\n got %+v\nwant %+v", again.Value, c.Value)
	}
	if h, err := again.Hash(); err != nil || h != hash {
		t.Errorf("hash %s (%v) became %s", hash, err, h)
	}
	if string(again.YAML()) != string(c.YAML()) {
		t.Error("YAML is not stable")
	}
}

func TestYAMLText(t *testing.T) {
	c, err := Load(kinds(), Input{Kind: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `coders:
  - arch: topk
    k: 8
    l1: 0.1
    name: a
fast: false
kind: demo
layers: [4]
model: minilm
note: ""
seed: 7
tags: [red]
train:
  lr: 0.001
  steps: 10
`
	if got := string(c.YAML()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// SHA-256 of the compact JSON with sorted keys, computed elsewhere. Run folders are named by it.
	const wantHash = "5c81b49277c2922b5ff5cd6672b96d4f51f67d01aaeb31dbeb4f6b3a9e0e280a"
	if got, err := c.Hash(); err != nil || got != wantHash {
		t.Errorf("hash %s, %v", got, err)
	}
}

func TestHashSeparates(t *testing.T) {
	seen := map[string]string{}
	for _, set := range []string{"seed=7", "seed=8", "model=x", "layers=4,4", "fast=true", "train.lr=0.0010001"} {
		c, err := Load(kinds(), Input{Kind: "demo", Set: []string{set}})
		if err != nil {
			t.Fatal(err)
		}
		h, err := c.Hash()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[h]; ok {
			t.Errorf("%s and %s have the same hash", set, other)
		}
		seen[h] = set
	}
}

func TestSchemaRules(t *testing.T) {
	type self struct {
		Sub []struct {
			A map[string]int `json:"a" doc:"x"`
		} `json:"sub" doc:"x"`
	}
	for name, tc := range map[string]struct {
		v    any
		want string
	}{
		"map": {&struct{ M map[string]int }{}, "tag"},
		"map tagged": {&struct {
			M map[string]int `json:"m" doc:"x"`
		}{}, "maps are refused"},
		"map in list": {&self{}, "maps are refused"},
		"upper case": {&struct {
			M int `json:"dIn" doc:"x"`
		}{}, "lower_case"},
		"no doc": {&struct {
			M int `json:"m"`
		}{}, "doc tag"},
		"hidden": {&struct{ m int }{}, "not exported"},
		"two": {reflect.New(reflect.StructOf([]reflect.StructField{
			{Name: "A", Type: reflect.TypeOf(0), Tag: `json:"m" doc:"x"`},
			{Name: "B", Type: reflect.TypeOf(0), Tag: `json:"m" doc:"x"`},
		})).Interface(), "two fields"},
		"same env": {&struct {
			A int `json:"a_b" doc:"x"`
			S struct {
				B int `json:"b" doc:"x"`
			} `json:"a" doc:"x"`
		}{}, "LOUPE_A_B"},
		"taken env": {&struct {
			M string `json:"home" doc:"x"`
		}{}, "taken"},
		"pointer": {&struct {
			M *int `json:"m" doc:"x"`
		}{}, "not supported"},
		"enum": {&struct {
			M int `json:"m" doc:"x" enum:"a"`
		}{}, "enum"},
		"kind": {&struct {
			M string `json:"kind" doc:"x"`
		}{}, "reserved"},
		"inherit": {&struct {
			M []int `json:"m" doc:"x" inherit:"true"`
		}{}, "inherit is for lists of structs"},
		"no struct": {new(int), "pointer to a struct"},
	} {
		t.Run(name, func(t *testing.T) {
			k := Kind{Name: "bad", New: func() any { return tc.v }}
			_, _, err := k.schema()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v does not contain %q", err, tc.want)
			}
		})
	}
}

func TestJSONSchema(t *testing.T) {
	out, err := kinds()[0].JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	at := func(path ...string) any {
		var x any = s
		for _, p := range path {
			m, _ := x.(map[string]any)
			x = m[p]
		}
		return x
	}
	for _, tc := range []struct {
		want any
		path []string
	}{
		{"demo", []string{"properties", "kind", "const"}},
		{false, []string{"additionalProperties"}},
		{"number", []string{"properties", "train", "properties", "lr", "type"}},
		{0.001, []string{"properties", "train", "properties", "lr", "default"}},
		{"learning rate", []string{"properties", "train", "properties", "lr", "description"}},
		{float64(32), []string{"properties", "coders", "items", "properties", "k", "default"}},
		{[]any{"topk", "jumprelu"}, []string{"properties", "coders", "items", "properties", "arch", "enum"}},
		{[]any{"red", "green", "two words"}, []string{"properties", "tags", "items", "enum"}},
		{float64(0), []string{"properties", "seed", "minimum"}},
		{false, []string{"properties", "coders", "items", "additionalProperties"}},
	} {
		if got := at(tc.path...); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%v: got %v, want %v", tc.path, got, tc.want)
		}
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"train.lr", "train.steps", "model", "sae.d_in"}
	for name, want := range map[string]string{
		"lr": "train.lr", "steps": "train.steps", "modle": "model", "train.setps": "train.steps", "D_IN": "sae.d_in", "xyzzy": "", "": "",
	} {
		got, ok := Nearest(name, keys)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"ca", "abc", 3}, {"same", "same", 0}} {
		if got := editDistance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance of %q and %q is %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestBigAndOddFiles(t *testing.T) {
	big := write(t, "big.yaml", "kind: demo\nnote: \""+strings.Repeat("x", maxFile)+"\"\n")
	if _, err := Load(kinds(), Input{Path: big}); err == nil || !strings.Contains(err.Error(), "no configuration file") {
		t.Errorf("big file: %v", err)
	}
	if _, err := Load(kinds(), Input{Path: filepath.Join(t.TempDir(), "absent.yaml")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if _, err := Load(kinds(), Input{Path: write(t, "d.yaml", demoYAML), Kind: "sae"}); err == nil || !strings.Contains(err.Error(), `"sae"`) {
		t.Errorf("wrong kind: %v", err)
	}
}

// FuzzLoad feeds arbitrary files: no panic, and whatever loads survives a round trip through its own YAML.
func FuzzLoad(f *testing.F) {
	f.Add("yaml", []byte(demoYAML))
	f.Add("json", []byte(`{"kind":"demo","train":{"lr":1e-3},"coders":[{"k":3}]}`))
	f.Add("toml", []byte("kind='demo'\n[train]\nlr=1\n"))
	f.Add("yaml", []byte("kind: demo\nlayers: [.inf, 1e400, 0x10, -0]\n"))
	f.Fuzz(func(t *testing.T, form string, data []byte) {
		if form != "yaml" && form != "json" && form != "toml" {
			return
		}
		c, err := Load(kinds(), Input{Path: write(t, "f."+form, string(data))})
		if err != nil {
			return
		}
		again, err := Load(kinds(), Input{Path: write(t, "g.yaml", string(c.YAML()))})
		if err != nil {
			t.Fatalf("%v in\n%s", err, c.YAML())
		}
		h1, err1 := c.Hash()
		h2, err2 := again.Hash()
		if err1 != nil || err2 != nil || h1 != h2 {
			t.Fatalf("hashes %s (%v) and %s (%v)", h1, err1, h2, err2)
		}
	})
}

// FuzzSet feeds arbitrary --set pairs.
func FuzzSet(f *testing.F) {
	for _, s := range []string{"train.lr=3", "coders.0.k=[", "coders=[{k: 1}]", "layers=1,2", "coders.0=&a {k: *a}", "coders.99999999999999999999.k=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := Load(kinds(), Input{Kind: "demo", Set: []string{s}}); err == nil {
			if _, err := Load(kinds(), Input{Path: write(t, "g.yaml", string(c.YAML()))}); err != nil {
				t.Fatalf("--set %q: %v in\n%s", s, err, c.YAML())
			}
		}
	})
}
