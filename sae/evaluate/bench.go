package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"loupe/internal/progress"
	"loupe/internal/stats"
	"loupe/probe/store"
	"loupe/probe/token"
	"loupe/sae"
)

// Config says how much is measured.
type Config struct {
	Select        store.Select          `json:"select"`         // rows and documents of the store
	Rows          int64                 `json:"rows"`           // measured by core, at most
	Texts         int                   `json:"texts"`          // sequences that are run through the model
	ProbePairs    int                   `json:"probe_pairs"`    // training pairs of each generated concept; half as many for testing
	MetaSteps     int                   `json:"meta_steps"`     // of a meta-SAE; SAEBench's are 1500
	RavelPairs    int                   `json:"ravel_pairs"`    // interchanges of an attribute, half of them for training
	InterpTexts   int                   `json:"interp_texts"`   // sequences of the store on which latents are described and descriptions scored
	InterpLatents int                   `json:"interp_latents"` // that are described, of each dictionary
	RandomSeeds   int                   `json:"random_seeds"`   // of the random control
	Boot          stats.BootstrapConfig `json:"boot"`           // intervals over texts, tasks and concepts
	Seed          uint64                `json:"seed"`           // of generated data and of choices
}

// DefaultConfig measures 200,000 rows without special tokens and 128 texts, and has three random controls.
func DefaultConfig() Config {
	boot := stats.DefaultBootstrap()
	boot.Level, boot.Method = 0.95, stats.Percentile
	return Config{Select: store.Select{ExcludeSpecial: true}, Rows: 200_000, Texts: 128, ProbePairs: 40, MetaSteps: 1500, RavelPairs: 256, InterpTexts: 400, InterpLatents: 30, RandomSeeds: 3, Boot: boot, Seed: 1}
}

// Validate names the field that is out of range.
func (c Config) Validate() error {
	switch {
	case c.Rows < 2:
		return fmt.Errorf("evaluate: rows is %d; it must be 2 or more", c.Rows)
	case c.Texts < 2:
		return fmt.Errorf("evaluate: texts is %d; it must be 2 or more", c.Texts)
	case c.ProbePairs < 2:
		return fmt.Errorf("evaluate: probe_pairs is %d; it must be 2 or more", c.ProbePairs)
	case c.MetaSteps < 1:
		return fmt.Errorf("evaluate: meta_steps is %d; it must be 1 or more", c.MetaSteps)
	case c.RavelPairs < 4:
		return fmt.Errorf("evaluate: ravel_pairs is %d; it must be 4 or more", c.RavelPairs)
	case c.InterpTexts < 8 || c.InterpLatents < 2:
		return fmt.Errorf("evaluate: interp_texts is %d and interp_latents %d; they must be 8 and 2 or more", c.InterpTexts, c.InterpLatents)
	case c.RandomSeeds < 0:
		return fmt.Errorf("evaluate: random_seeds is %d; it must be 0 (no random control) or more", c.RandomSeeds)
	case !(c.Boot.Level > 0 && c.Boot.Level < 1):
		return fmt.Errorf("evaluate: the level of intervals is %v; it must lie between 0 and 1", c.Boot.Level)
	}
	return nil
}

// Bench is where dictionaries are measured.
type Bench struct {
	Config
	Backend compute.Backend
	Store   *store.Store
	Subject *Subject // the store's model; nil: suites that need one are left out

	ProbeSets []sae.ProbeSet // tasks for probing; nil: generated ones
	Facts     *Facts         // entities for RAVEL; nil: cities
	Forget    []Question     // questions for unlearning, with Retain; nil: capitals
	Retain    []Question
	Judge     *Judge           // of descriptions; nil: autointerp is left out
	Tokenizer *token.Tokenizer // of the store's tokens, for autointerp and features
	// Descriptions of latents, by their number; nil: by tokens.
	Descriptions map[int]string

	// Out and Log receive progress; nil for none.
	Out io.Writer
	Log *slog.Logger
}

func (b *Bench) progress(label, unit string, total int64) progress.Progress {
	return progress.New(progress.Options{Label: label, Unit: unit, Total: total, Out: b.Out, Log: b.Log, Quiet: b.Out == nil && b.Log == nil})
}

// Suite is a family of measures.
type Suite struct {
	Name  string
	About string
	Off   string // why it is left out unless it is named; "" for the others
	Model bool   // it runs the model that made the store
	Rows  bool   // it reads rows one by one, so that temporal SAEs are left out
	run   func(*Bench, context.Context, []*Dictionary) (*Outcome, error)
}

// Suites lists the suites in the order in which they run.
func Suites() []Suite {
	return []Suite{
		{Name: "core", About: "reconstruction, sparsity, dead latents", run: (*Bench).Core},
		{Name: "geometry", About: "cosines of decoder rows and encoder columns", run: (*Bench).Geometry},
		{Name: "splice", About: "the model with the dictionary in it: loss, or pooled embeddings", Model: true, Rows: true, run: (*Bench).Splice},
		{Name: "probing", About: "how well few latents tell concepts", Model: true, Rows: true, run: (*Bench).Probing},
		{Name: "absorption", About: "whether a first letter's latents leave words to others", Model: true, Rows: true, run: (*Bench).Absorption},
		{Name: "ravel", About: "whether latents hold attributes of entities apart", Model: true, Rows: true, run: (*Bench).Ravel},
		{Name: "unlearning", About: "how far clamped latents make the model forget, and only that", Model: true, Rows: true, run: (*Bench).Unlearning},
		{Name: "autointerp", About: "how well descriptions of latents tell their texts, by a local judge", Model: true, Rows: true, run: (*Bench).Autointerp},
		{Name: "meta", About: "how much of the decoder few meta-latents explain", run: (*Bench).Meta},
		{Name: "scr", About: "spurious correlation removal", Off: sae.AblationScoresOff, Model: true, Rows: true, run: (*Bench).SCR},
		{Name: "tpp", About: "targeted probe perturbation", Off: sae.AblationScoresOff, Model: true, Rows: true, run: (*Bench).TPP},
	}
}

// SuiteNames resolves a list of names: "all" stands for every suite that is not off by default. It returns the names in the
// order of Suites.
func SuiteNames(names []string) ([]string, error) {
	var known, out []string
	for _, s := range Suites() {
		known = append(known, s.Name)
	}
	for _, name := range names {
		if name != "all" && !slices.Contains(known, name) {
			return nil, fmt.Errorf("evaluate: no suite %q; the suites are all, %s", name, strings.Join(known, ", "))
		}
	}
	for _, s := range Suites() {
		if slices.Contains(names, s.Name) || slices.Contains(names, "all") && s.Off == "" {
			out = append(out, s.Name)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("evaluate: no suite is named; the suites are all, %s", strings.Join(known, ", "))
	}
	return out, nil
}

// NeedModel tells whether one of the named suites runs the model.
func NeedModel(names []string) bool {
	return slices.ContainsFunc(Suites(), func(s Suite) bool { return s.Model && slices.Contains(names, s.Name) })
}

// errLeftOut marks a suite that cannot run on this bench.
var errLeftOut = errors.New("left out")

// l0Rows are enough rows to know L0.
const l0Rows = 20_000

// Measure runs the named suites on dictionaries and on their controls, joins the seeds of a method and ranks.
func (b *Bench) Measure(ctx context.Context, dicts []*Dictionary, names []string) (*Report, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	names, err := SuiteNames(names)
	if err != nil {
		return nil, err
	}
	if err := checkNames(dicts); err != nil {
		return nil, err
	}
	first := *b // whatever is asked for: the controls need L0
	if !slices.Contains(names, "core") {
		first.Rows = min(b.Rows, l0Rows)
	}
	core, err := first.Core(ctx, dicts)
	if err != nil {
		return nil, err
	}
	l0 := map[string]float64{}
	for _, s := range core.Scores {
		l0[s.Dictionary] = s.Values["l0"].Value
	}
	controls, err := b.Controls(ctx, dicts, l0)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, c := range controls {
			c.Close()
		}
	}()
	all := append(slices.Clone(dicts), controls...)
	r := b.newReport(all)
	for _, s := range Suites() {
		if !slices.Contains(names, s.Name) {
			if s.Off != "" && !slices.Contains(r.Off, s.Off) {
				r.Off = append(r.Off, s.Off)
			}
			continue
		}
		var out *Outcome
		if s.Name == "core" {
			if out, err = b.Core(ctx, controls); err == nil {
				out.On, out.Scores = core.On, append(core.Scores, out.Scores...)
			}
		} else {
			fit, others := all, []*Dictionary(nil)
			if s.Rows {
				fit, others = rowByRow(all)
			}
			if len(fit) == 0 {
				err = fmt.Errorf("%w: all SAEs read whole sequences", errLeftOut)
			} else if out, err = s.run(b, ctx, fit); err == nil {
				for _, d := range others {
					out.leaveOut(d, "it reads whole sequences")
				}
			}
		}
		if errors.Is(err, errLeftOut) {
			r.Outcomes = append(r.Outcomes, &Outcome{Suite: s.Name, Notes: []string{err.Error()}})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("suite %s: %w", s.Name, err)
		}
		if out.Methods, err = joinSeeds(out, append(slices.Clone(all), out.baselines...), b.Boot.Level); err != nil {
			return nil, fmt.Errorf("suite %s: %w", s.Name, err)
		}
		r.Outcomes = append(r.Outcomes, out)
	}
	return r, nil
}

// rowByRow splits dictionaries into those that read rows one by one and the others.
func rowByRow(dicts []*Dictionary) (rows, sequences []*Dictionary) {
	for _, d := range dicts {
		if d.Sequence == 0 {
			rows = append(rows, d)
		} else {
			sequences = append(sequences, d)
		}
	}
	return rows, sequences
}

// checkNames refuses dictionaries that could not be told apart or that name no site.
func checkNames(dicts []*Dictionary) error {
	if len(dicts) == 0 {
		return errors.New("evaluate: no dictionary to measure")
	}
	seen := map[string]bool{}
	for _, d := range dicts {
		switch {
		case seen[d.Name]:
			return fmt.Errorf("evaluate: two dictionaries are called %s; give each its own name", d.Name)
		case len(d.Sites) == 0:
			return fmt.Errorf("evaluate: %s does not say which site it is for; set its Sites", d.Name)
		case d.SAE != nil && d.SAE.Transcoder() && !d.Transcoder():
			return fmt.Errorf("evaluate: the transcoder %s does not say which site it writes; set its Targets", d.Name)
		}
		seen[d.Name] = true
	}
	return nil
}
