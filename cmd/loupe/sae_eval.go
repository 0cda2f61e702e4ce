package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"loupe/internal/atomicfile"
	"loupe/internal/hub"
	"loupe/probe/store"
	"loupe/sae"
	"loupe/sae/evaluate"
)

// saeEval are the flags of `loupe sae eval`.
type saeEval struct {
	config   evaluate.Config
	suites   []string
	site     []string
	target   []string
	special  bool
	identity int64
	model    string
	out      string
	data     saeEvalData
}

func newSAEEvalCmd(a *app) *cobra.Command {
	e := saeEval{config: evaluate.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "eval SAE... STORE",
		Short: "Measure sparse autoencoders on a store, beside their controls",
		Long: "Measure sparse autoencoders and transcoders on rows of a store, chosen at random by a fixed seed, beside their controls:\n" +
			"random directions of equal L0 and as many principal components (for transcoders, the linear map of that rank).\n\n" +
			"Several may be given. NAME=PATTERN makes one method of all that match, its seeds, whose values are joined to a mean with an\n" +
			"interval; methods are ranked, and what lies within the noise is a tie. A run folder stands for the SAEs in its weights\n" +
			"folder, where names that differ in the seed alone make one method. The site is the one that an SAE names, unless --site says otherwise. The result is printed and written to\n" +
			"eval.json in each SAE's folder, or to --out.\n\n" + saeRef + "\n\n" + suiteHelp(),
		Example: "  loupe sae eval runs/minilm-l4-1a2b3c4d stores/minilm\n" +
			"  loupe sae eval topk='runs/topk-*' jumprelu='runs/jumprelu-*' stores/minilm --split held-out --suite all",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("an SAE and a store are needed; usage: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.evalSAEs(cmd.Context(), args[:len(args)-1], args[len(args)-1], e)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&e.suites, "suite", []string{"core", "geometry"}, "what to measure; all is everything that is not off by default")
	f.StringSliceVar(&e.site, "site", nil, "site of the store (default: the SAE's own); several for a crosscoder")
	f.StringSliceVar(&e.target, "target", nil, "site that a transcoder writes (default: the SAE's own)")
	f.StringVar(&e.config.Select.Split, "split", "", "split of the documents to measure on (default: all)")
	f.Int64Var(&e.config.Rows, "tokens", e.config.Rows, "rows to measure on, at most")
	f.BoolVar(&e.special, "special", false, "include the rows of special tokens")
	f.Int32Var(&e.config.Select.FromPos, "from-pos", 0, "leave out, and do not splice, earlier positions of a sequence")
	f.Int32SliceVar(&e.config.Select.ExcludePositions, "exclude-positions", nil, "leave out, and do not splice, these positions")
	f.Int32SliceVar(&e.config.Select.ExcludeTokens, "exclude-tokens", nil, "leave out, and do not splice, these token ids")
	f.IntVar(&e.config.RandomSeeds, "random-seeds", e.config.RandomSeeds, "seeds of the random control; 0: none")
	f.StringVar(&e.model, "model", "", "model that made the store, for the suites that run it (default: the one that the store names, if it is on this machine)")
	f.IntVar(&e.config.Texts, "texts", e.config.Texts, "sequences of the store that are run through the model")
	f.Int64Var(&e.identity, "identity-rows", 2000, "rows of the test whether an SAE belongs to the store; 0: no test")
	f.StringVar(&e.out, "out", "", "file for the whole result (default: eval.json in each SAE's folder)")
	f.IntVar(&e.config.ProbePairs, "probe-pairs", e.config.ProbePairs, "training pairs of sentences of each generated concept")
	f.IntVar(&e.config.RavelPairs, "ravel-pairs", e.config.RavelPairs, "ravel: interchanges of an attribute, half of them for training")
	f.IntVar(&e.config.MetaSteps, "meta-steps", e.config.MetaSteps, "meta: training steps of a meta-SAE")
	f.IntVar(&e.config.InterpLatents, "interp-latents", e.config.InterpLatents, "autointerp: latents of each SAE")
	f.IntVar(&e.config.InterpTexts, "interp-texts", e.config.InterpTexts, "autointerp: sequences of the store")
	e.data.add(cmd)
	return cmd
}

// suiteHelp lists the suites.
func suiteHelp() string {
	var out strings.Builder
	out.WriteString("Suites:\n")
	for _, s := range evaluate.Suites() {
		fmt.Fprintf(&out, "  %-11s %s", s.Name, s.About)
		if s.Off != "" {
			out.WriteString(" (not part of all)")
		}
		out.WriteString("\n")
	}
	return out.String()
}

func (a *app) evalSAEs(ctx context.Context, refs []string, storeDir string, e saeEval) (err error) {
	suites, err := evaluate.SuiteNames(e.suites)
	if err != nil {
		return usageError{err}
	}
	e.config.Select.ExcludeSpecial = !e.special
	if err := e.config.Validate(); err != nil {
		return usageError{err}
	}
	places, err := expandSAEs(refs)
	if err != nil {
		return err
	}
	st, err := store.Open(storeDir, store.OpenOptions{})
	if err != nil {
		return err
	}
	defer st.Close()
	b, err := a.open()
	if err != nil {
		return err
	}
	dicts, err := e.open(ctx, b, places)
	defer func() {
		for _, d := range dicts {
			d.Close()
		}
	}()
	if err != nil {
		return err
	}
	bench := &evaluate.Bench{Config: e.config, Backend: b, Store: st, Out: a.err, Log: a.log}
	if evaluate.NeedModel(suites) {
		if bench.Subject, err = e.subject(ctx, a, b, st); err != nil {
			return err
		}
		if bench.Subject != nil {
			defer func() { err = errors.Join(err, bench.Subject.Close()) }()
		}
	}
	if err := e.data.load(ctx, a, b, bench, suites, len(dicts)); err != nil {
		return err
	}
	var ids []evaluate.Identity
	for _, d := range dicts {
		if e.identity > 0 && d.SAE != nil && d.Sequence == 0 {
			id, err := evaluate.Identify(ctx, b, d, st, e.identity)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
	}
	report, err := bench.Measure(ctx, dicts, suites)
	if err != nil {
		return err
	}
	report.Identities = ids
	if err := e.write(report, places); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(report)
	}
	return report.Print(a.out)
}

// subject loads the model that was named, or the store's own if it is on this machine; nil where it is not.
func (e saeEval) subject(ctx context.Context, a *app, b compute.Backend, st *store.Store) (*evaluate.Subject, error) {
	if e.model != "" {
		return evaluate.OpenSubject(ctx, b, e.model, false, st, a.log)
	}
	own := st.Manifest().Model.ID
	s, err := evaluate.OpenSubject(ctx, b, own, true, st, a.log)
	if errors.Is(err, hub.ErrNotFound) || errors.Is(err, hub.ErrRef) {
		a.log.Warn("the store's model is not on this machine; suites that need it are left out", "model", own, "cure", "give --model")
		return nil, nil
	}
	return s, err
}

// open reads the SAEs.
func (e saeEval) open(ctx context.Context, b compute.Backend, places []saePlace) (dicts []*evaluate.Dictionary, err error) {
	for _, p := range places {
		c, format, err := readCoder(ctx, p.ref)
		if err != nil {
			return dicts, err
		}
		d, err := evaluate.New(b, p.method, p.name, c)
		if err != nil {
			return dicts, err
		}
		d.Format = format
		dicts = append(dicts, d)
		if e.site != nil {
			d.Sites = e.site
		}
		if e.target != nil && c.Shape().Target {
			d.Targets = e.target
		}
		if len(d.Sites) == 0 {
			return dicts, usagef("%s does not say which site it is for; give --site", p.name)
		}
		if c.Shape().Target && !d.Transcoder() {
			return dicts, usagef("the transcoder %s does not say which site it writes; give --target", p.name)
		}
	}
	return dicts, nil
}

// write puts the report into --out, or each SAE's part next to it.
func (e saeEval) write(r *evaluate.Report, places []saePlace) error {
	if e.out != "" {
		return atomicfile.Write(e.out, r.JSON)
	}
	for _, p := range places {
		if p.result == "" {
			continue
		}
		if err := atomicfile.Write(p.result, r.Of(p.name).JSON); err != nil {
			return fmt.Errorf("%w; give --out FILE", err)
		}
	}
	return nil
}

// saePlace is one SAE on this machine.
type saePlace struct {
	name   string // as it was named
	method string // its seeds share it
	ref    string
	result string // file for its result; "" where none is to be written
}

// expandSAEs turns references into SAEs: paths, patterns, run folders, the hub's names, and NAME=any of these.
func expandSAEs(refs []string) ([]saePlace, error) {
	var out []saePlace
	for _, ref := range refs {
		method, rest, named := strings.Cut(ref, "=")
		if !named || strings.ContainsAny(method, `/\:`) {
			method, rest = "", ref
		}
		if isRemote(rest) {
			out = append(out, newPlace(rest, method, ""))
			continue
		}
		matches, err := filepath.Glob(rest)
		if err != nil {
			return nil, usagef("the pattern %q: %w", rest, err)
		}
		if len(matches) == 0 {
			return nil, fmt.Errorf("%s: %w; give the folder of an SAE, a run folder or a pattern", rest, fs.ErrNotExist)
		}
		before := len(out)
		var last error
		for _, m := range matches {
			inside, err := saesBelow(m)
			if err != nil {
				last = err
				continue
			}
			for _, path := range inside {
				result := path + ".eval.json"
				if info, err := os.Stat(path); err == nil && info.IsDir() {
					result = filepath.Join(path, "eval.json")
				}
				own := method
				if own == "" && len(inside) > 1 {
					own = filepath.Join(filepath.Dir(path), seedOf.ReplaceAllString(filepath.Base(path), "-"))
				}
				out = append(out, newPlace(path, own, result))
			}
		}
		if len(out) == before {
			return nil, last
		}
	}
	return out, nil
}

// seedOf is the seed in the names that training gives to the SAEs of one run.
var seedOf = regexp.MustCompile(`-s\d+-`)

func newPlace(ref, method, result string) saePlace {
	if method == "" {
		method = ref
	}
	return saePlace{name: ref, method: method, ref: ref, result: result}
}

// saesBelow lists the SAEs that a path stands for: itself, or those of a run folder.
func saesBelow(path string) ([]string, error) {
	_, err := sae.DetectFormat(path)
	if err == nil {
		return []string{path}, nil
	}
	var out []string
	for _, pattern := range []string{"weights", filepath.Join("weights", "*")} {
		found, globErr := filepath.Glob(filepath.Join(path, pattern))
		for _, at := range found {
			if _, notOne := sae.DetectFormat(at); notOne == nil {
				out = append(out, at)
			}
		}
		if err := errors.Join(globErr); err != nil || len(out) > 0 {
			return out, err
		}
	}
	return nil, err
}
