package sweep

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"loupe/probe"
	"loupe/probe/capture"
	"loupe/probe/text"
)

// Kind is the kind of a probe's configuration file.
const Kind = "probe"

// Config says which probes are fitted to what, and beside which controls.
type Config struct {
	Name string `json:"name" doc:"name of the run"`

	Data
	probe.Method

	Controls  ControlConfig        `json:"controls" doc:"what every score stands beside"`
	Folds     int                  `json:"folds" doc:"cross-validation on the training documents, by group, and calibration by its scores; 0: none"`
	Bins      int                  `json:"bins" doc:"bins of the reliability table"`
	MDL       MDLConfig            `json:"mdl" doc:"minimum description length on the training documents"`
	Intervals probe.IntervalConfig `json:"intervals" doc:"confidence intervals"`
}

// Data says which texts are read at which sites and positions, what is known of them, and which train and which test.
type Data struct {
	Store      string         `json:"store" doc:"folder of the activation store"`
	Capture    capture.Config `json:"capture" doc:"where capture.sites is set and the store is not there, it is captured first: all sites in one pass"`
	Sites      []string       `json:"sites" doc:"sites of the store to read; * stands for any run of characters"`
	Positions  []string       `json:"positions" doc:"what is read of a text at a token site: mean, first, last (of tokens that are not special), cls (position 0), span-first, span-last, span-mean (of the labels span_start and span_end), or a number: 0 the first token, -1 the last"`
	Target     TargetConfig   `json:"target" doc:"what is predicted"`
	Split      SplitConfig    `json:"split" doc:"which documents train and which test"`
	Group      string         `json:"group" doc:"key whose groups intervals resample, and folds and shuffles keep together; auto: pair_word where the labels give it, else doc"`
	Misaligned string         `json:"misaligned" enum:"error,drop" doc:"texts whose span does not align with tokens, or that lack the position: stop and list them, or leave them out"`
	Seed       uint64         `json:"seed" doc:"seed of splits, shuffles, restarts and intervals"`
}

// TargetConfig says what is predicted of a document.
type TargetConfig struct {
	Task     string   `json:"task" enum:"binary,multiclass,regression" doc:"a concept, a class or a number"`
	Label    string   `json:"label" doc:"label column of the store"`
	Positive string   `json:"positive" doc:"binary: the class that is the concept; empty: a probe for each class against the rest"`
	By       string   `json:"by" doc:"a probe for each class of this label column, over its documents alone; empty: over all documents"`
	Values   []string `json:"values" doc:"only these classes of by, or of label where each has a probe; empty: all"`
}

// SetDefaults sets what a list element leaves out.
func (c *TargetConfig) SetDefaults() { c.Task = string(probe.Binary) }

// SplitConfig says which documents train and which test.
type SplitConfig struct {
	From    string   `json:"from" enum:"store,keys" doc:"the splits of the store, or groups drawn by seed"`
	Train   string   `json:"train" doc:"from store: name of the training split"`
	Test    string   `json:"test" doc:"from store: name of the test split"`
	Keys    []string `json:"keys" doc:"from keys: no group of any of these is on both sides; documents that are held out by some keys only are left out"`
	HeldOut float64  `json:"held_out" doc:"from keys: share of the groups of each key"`
	Check   []string `json:"check" doc:"keys of which no group may be on both sides; a leak stops the run"`
}

// ControlConfig says what every score stands beside.
type ControlConfig struct {
	Shuffles int    `json:"shuffles" doc:"probes of shuffled labels, group by group; 0: none"`
	Types    string `json:"types" doc:"key of the control task, which gives each of its groups a random class: the selectivity is measured on groups that the probe has seen; auto: entry where the label is there; empty: none"`
	Words    bool   `json:"words" doc:"the same method on a bag of words (of tokens, where the store keeps no text)"`
	Length   bool   `json:"length" doc:"the same method on the length in tokens"`
}

// MDLConfig says whether code lengths are measured.
type MDLConfig struct {
	On bool `json:"on" doc:"measure them"`
	probe.MDLConfig
}

// DefaultConfig probes the mean token for the concepts of generated sentences, split as the store says.
func DefaultConfig() Config {
	return Config{
		Name: "probe", Data: DefaultData(), Method: probe.DefaultMethod(probe.MethodLogistic), Controls: ControlConfig{Shuffles: 3, Types: "auto", Words: true, Length: true},
		Bins: 10, MDL: MDLConfig{MDLConfig: probe.DefaultMDL()}, Intervals: probe.DefaultIntervals(),
	}
}

// DefaultData reads the mean token of generated sentences, split as the store says.
func DefaultData() Data {
	d := Data{
		Positions: []string{"mean"}, Target: TargetConfig{Task: string(probe.Binary), Label: "positive", Positive: "true", By: "concept"},
		Split: SplitConfig{From: "store", Train: text.Train, Test: text.HeldOut, Keys: []string{"entry", "template"}, HeldOut: 0.3, Check: []string{"text"}},
		Group: "auto", Misaligned: "error", Capture: capture.DefaultConfig(),
	}
	d.Capture.Corpus = text.DefaultCorpusConfig(text.KindConcepts)
	d.Capture.KeepText, d.Capture.Moments.Keep = true, false // labels of many classes have no moments
	return d
}

// DeriveDefaults keeps every label of generated sentences, which a capture would leave out where it has many classes.
func (c *Data) DeriveDefaults() {
	if len(c.Capture.Labels) > 0 {
		return
	}
	concepts := []string{"concept", "positive", "category", "word", "entry", "template", "pair", "span_start", "span_end"}
	switch c.Capture.Corpus.Kind {
	case text.KindConcepts:
		c.Capture.Labels = concepts
	case text.KindHierarchy:
		c.Capture.Labels = append(concepts, "super", "relation")
	case text.KindEntities:
		c.Capture.Labels = []string{"entity", "relation", "value", "template", "span_start", "span_end"}
	}
}

// Validate checks what does not depend on the store; the rest is checked when it is open.
func (c *Config) Validate() error {
	switch {
	case c.Name == "":
		return bad("name", "empty", "name the run")
	case c.Controls.Shuffles < 0 || c.Controls.Shuffles > 1000:
		return bad("controls.shuffles", c.Controls.Shuffles, "use 0 to 1000")
	case c.Folds < 0 || c.Folds == 1:
		return bad("folds", c.Folds, "use 0 for none, or 2 and more")
	case c.Bins < 1:
		return bad("bins", c.Bins, "use 1 or more")
	case c.Method.Name == probe.MethodAttention && (c.Folds > 0 || c.MDL.On):
		return bad("method", c.Method.Name, "set folds to 0 and mdl.on to false: both need a probe of single activations")
	case c.Method.Name == probe.MethodAttention && !slices.Equal(c.Positions, []string{"mean"}):
		return bad("positions", c.Positions, "an attention probe reads all tokens: leave positions out")
	case c.Method.Name == probe.MethodCCS && c.Target.Task != "binary":
		return bad("target.task", c.Target.Task, "contrast-consistent search needs a binary target")
	case c.MDL.On && !c.Method.Probabilistic():
		return bad("mdl.on", true, "method "+c.Method.Name+" gives no probabilities; use logistic")
	}
	for _, err := range []error{c.Data.Validate(), c.Method.Validate(), c.MDL.Validate(), c.Intervals.Validate()} {
		if err != nil {
			return err
		}
	}
	return nil
}

func bad(key string, got any, cure string) error {
	return fmt.Errorf("probe: %s is %v; %s", key, got, cure)
}

// Validate checks what does not depend on the store.
func (c *Data) Validate() error {
	switch {
	case c.Store == "":
		return bad("store", "empty", "name the folder that `loupe capture` wrote, or that capture is to write")
	case len(c.Sites) == 0:
		return bad("sites", "empty", "name at least one, such as blocks.*.hook_resid_post; `loupe store info` lists a store's sites")
	case len(c.Positions) == 0:
		return bad("positions", "empty", "name at least one, such as mean")
	case c.Group == "":
		return bad("group", "empty", "use auto, doc, or a label")
	case c.Misaligned != "error" && c.Misaligned != "drop":
		return bad("misaligned", c.Misaligned, "use error or drop")
	}
	if err := cmp.Or(c.Target.validate(), c.Split.validate()); err != nil {
		return err
	}
	for i, p := range c.Positions {
		if _, err := parsePosition(p); err != nil {
			return fmt.Errorf("probe: positions.%d: %w", i, err)
		}
	}
	if c.captures() {
		own := c.capture()
		return own.Validate()
	}
	return nil
}

func (c TargetConfig) validate() error {
	switch {
	case c.Label == "":
		return bad("target.label", "empty", "name a label column of the store")
	case !slices.Contains([]string{"binary", "multiclass", "regression"}, c.Task):
		return bad("target.task", c.Task, "use binary, multiclass or regression")
	}
	return nil
}

func (c SplitConfig) validate() error {
	switch {
	case c.From != "store" && c.From != "keys":
		return bad("split.from", c.From, "use store or keys")
	case c.From == "store" && (c.Train == "" || c.Test == "" || c.Train == c.Test):
		return bad("split.train", fmt.Sprintf("%q with split.test %q", c.Train, c.Test), "name two splits of the store, or set split.from to keys")
	case c.From == "keys" && len(c.Keys) == 0:
		return bad("split.keys", "empty", "name a label, or group, source, text, doc")
	case c.From == "keys" && !(c.HeldOut > 0 && c.HeldOut < 1):
		return bad("split.held_out", c.HeldOut, "use a share between 0 and 1")
	}
	return nil
}

// captures tells whether the configuration can make its store.
func (c *Data) captures() bool { return len(c.Capture.Sites) > 0 }

// capture is the configuration of the capture into the store.
func (c *Data) capture() capture.Config {
	own := c.Capture
	own.Store = c.Store
	return own
}

// position says which tokens of a text are averaged.
type position struct {
	name string
	kind string // mean, cls, span-first, span-last, span-mean, or at
	at   int    // kind at: from the first token that is not special, negative from the last
}

func parsePosition(name string) (position, error) {
	switch name {
	case "mean", "cls", "span-first", "span-last", "span-mean":
		return position{name: name, kind: name}, nil
	case "first":
		return position{name: name, kind: "at"}, nil
	case "last":
		return position{name: name, kind: "at", at: -1}, nil
	}
	at, err := strconv.Atoi(name)
	if err != nil || at < -1<<20 || at > 1<<20 {
		return position{}, fmt.Errorf("position %q; use mean, first, last, cls, span-first, span-last, span-mean or a number", name)
	}
	return position{name: name, kind: "at", at: at}, nil
}

// spans tells whether the position needs the labels span_start and span_end.
func (p position) spans() bool { return strings.HasPrefix(p.kind, "span-") }
