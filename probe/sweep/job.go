package sweep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"

	"loupe/internal/lab"
	"loupe/internal/progress"
	"loupe/internal/run"
	"loupe/probe"
	"loupe/probe/capture"
	"loupe/probe/store"
)

// NeedsCapture tells whether the store is not there, or not complete, and the configuration can make it.
func (c *Data) NeedsCapture() (bool, error) {
	if !c.captures() {
		return false, nil
	}
	st, err := store.Open(c.Store, store.OpenOptions{})
	if errors.Is(err, store.ErrNoStore) || errors.Is(err, store.ErrIncomplete) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, st.Close()
}

// OpenCapture opens the capture into the store: all sites in one pass over the text.
func (c *Data) OpenCapture(ctx context.Context, b compute.Backend, log *slog.Logger) (*capture.Capture, error) {
	return capture.Open(ctx, b, c.capture(), log)
}

// Job is a configuration with its store open, its targets made and its splits drawn and checked.
type Job struct {
	cfg       *Config
	src       *source
	sites     []store.Site
	positions []position
	batches   []*batch
}

// Open opens the store and everything that does not depend on activations. Close lets go of the store.
func Open(ctx context.Context, c *Config) (j *Job, err error) {
	st, err := store.Open(c.Store, store.OpenOptions{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	j = &Job{cfg: c}
	if j.src, err = openSource(ctx, st); err != nil {
		return nil, err
	}
	if j.sites, err = j.src.sites(c.Sites); err != nil {
		return nil, err
	}
	for _, name := range c.Positions {
		p, err := parsePosition(name)
		if err != nil {
			return nil, err
		}
		j.positions = append(j.positions, p)
	}
	for _, s := range j.sites {
		if c.Method.Name == probe.MethodAttention && s.Per != store.Token {
			return nil, fmt.Errorf("probe: site %s has one row a text, and an attention probe reads tokens; name a token site", s.Name)
		}
	}
	j.batches, err = j.src.batches(c)
	return j, err
}

// Close closes the store.
func (j *Job) Close() error { return j.src.st.Close() }

// place is a site at a position.
type place struct {
	site store.Site
	at   position
}

// stored is the position of a site that has one row a text.
var stored = position{name: "stored", kind: "stored"}

// places are the sites at their positions: those of tokens at each, those of texts as they are.
func (j *Job) places() []place {
	var out []place
	for _, s := range j.sites {
		if s.Per == store.Example {
			out = append(out, place{s, stored})
			continue
		}
		for _, p := range j.positions {
			out = append(out, place{s, p})
		}
	}
	return out
}

// Plan says what a run would do.
type Plan struct {
	Store   string      `json:"store"`
	Model   string      `json:"model"`
	Method  string      `json:"method"`
	Targets []TargetRow `json:"targets"`
	Places  []string    `json:"places"` // site at position
	Probes  int         `json:"probes"` // that will be fitted, controls and folds included; code lengths left out
	Bytes   int64       `json:"bytes"`  // of the largest site's activations in memory
	FLOPs   float64     `json:"flops"`  // of the logistic probes, 15 evaluations each; 0 for other methods
}

// TargetRow is a target and its split.
type TargetRow struct {
	Target string     `json:"target"`
	Task   probe.Task `json:"task"`
	Counts []int      `json:"counts"` // of the classes, over all its rows
	Train  int        `json:"train"`
	Test   int        `json:"test"`
	Groups int        `json:"groups"` // of the test rows
}

// Plan looks at no activation.
func (j *Job) Plan() Plan {
	m := j.src.st.Manifest()
	p := Plan{Store: j.src.st.Dir(), Model: m.Model.ID, Method: j.cfg.Method.Name}
	for _, pl := range j.places() {
		p.Places = append(p.Places, pl.site.Name+" at "+pl.at.name)
	}
	fits := 1 + j.cfg.Controls.Shuffles + j.cfg.Folds
	for _, b := range j.batches {
		own := fits
		if b.types.Values != nil {
			own += 2
		}
		p.Probes += own * len(b.targets) * len(p.Places)
		for _, t := range b.targets {
			p.Targets = append(p.Targets, TargetRow{
				Target: t.Name, Task: t.Task, Counts: t.Counts(), Train: len(b.split.Train), Test: len(b.split.Test), Groups: distinct(pick(b.group, b.split.Test)),
			})
		}
		for _, pl := range j.places() {
			d := pl.site.Dim()
			p.Bytes = max(p.Bytes, int64(4*len(b.units)*d))
			if j.cfg.Method.Name == probe.MethodLogistic {
				p.FLOPs += 15 * 4 * float64(len(b.units)) * float64(d*own*len(b.targets))
			}
		}
	}
	return p
}

// RunOptions say how Run goes about it; they change no figure.
type RunOptions struct {
	Save     bool                                // keep the probes in the run folder's weights/
	Progress func(total int64) progress.Progress // of fitted places; nil shows nothing
}

// Report is what a run found.
type Report struct {
	Run       string      `json:"run"` // folder
	Store     string      `json:"store"`
	Model     string      `json:"model"`
	Method    string      `json:"method"`
	Targets   []TargetRow `json:"targets"`
	Cells     []Cell      `json:"cells"`
	Baselines []Baseline  `json:"baselines"`
}

// Run fits and scores every target at every site and position, writes tables/ and, with Save, weights/. A place that a
// killed run had finished is read back.
func (j *Job) Run(ctx context.Context, dir *run.Dir, opt RunOptions) (*Report, error) {
	m := j.src.st.Manifest()
	if err := dir.AddParent(run.Ref{Kind: "store", Name: filepath.Base(j.cfg.Store), Digest: m.Digest}); err != nil {
		return nil, err
	}
	r := &Report{Run: dir.Path(), Store: j.src.st.Dir(), Model: m.Model.ID, Method: j.cfg.Method.Name, Targets: j.Plan().Targets}
	places := j.places()
	bar := progress.New(progress.Options{Quiet: true})
	if opt.Progress != nil {
		bar = opt.Progress(int64(len(places) * len(j.batches)))
	}
	defer bar.Done()
	if opt.Save {
		if err := os.MkdirAll(dir.File("weights"), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("probe: %w", err)
		}
	}
	for i, p := range places {
		for k, b := range j.batches {
			cells, err := lab.Step(dir, fmt.Sprintf("cells-%d-%d", i, k), func() ([]Cell, error) { return j.cells(ctx, dir, b, p, opt.Save) })
			if err != nil {
				return nil, err
			}
			r.Cells = append(r.Cells, cells...)
			bar.Add(1)
		}
	}
	for k, b := range j.batches {
		rows, err := lab.Step(dir, fmt.Sprintf("baselines-%d", k), func() ([]Baseline, error) { return j.cfg.baselines(ctx, b) })
		if err != nil {
			return nil, err
		}
		r.Baselines = append(r.Baselines, rows...)
	}
	return r, r.write(dir)
}

// cells fits a batch at a place.
func (j *Job) cells(ctx context.Context, dir *run.Dir, b *batch, p place, save bool) ([]Cell, error) {
	b, in, dropped, err := j.read(b, p)
	if err != nil {
		return nil, err
	}
	cells, err := j.cfg.cells(ctx, b, in)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", p.site.Name, p.at.name, err)
	}
	for i := range cells {
		c := &cells[i]
		c.Site, c.Layer, c.Position, c.Dropped = p.site.Name, layerOf(p.site.Name), p.at.name, dropped
		if !save {
			continue
		}
		if c.Probe, err = j.save(dir, c, b.targets[i]); err != nil {
			return nil, err
		}
	}
	return cells, nil
}

// read reads the activations of a batch at a place. Units without the position are taken out of the batch, or are an
// error.
func (j *Job) read(b *batch, p place) (*batch, inputs, int, error) {
	width := len(b.units[0])
	var docs []int
	for _, u := range b.units {
		docs = append(docs, u...)
	}
	rows, bad, err := j.rows(p, docs)
	if err != nil {
		return nil, inputs{}, 0, err
	}
	dropped := 0
	if len(bad) > 0 {
		if j.cfg.Misaligned == "error" {
			return nil, inputs{}, 0, j.src.misaligned(p.at.name, docs, bad)
		}
		var keep []int
		var kept [][]int64
		for i, u := range b.units {
			good := true
			for _, d := range u {
				good = good && bad[d] == ""
			}
			if good {
				keep = append(keep, i)
				kept = append(kept, rows[i*width:(i+1)*width]...)
			}
		}
		dropped = len(b.units) - len(keep)
		if b, err = b.take(keep); err != nil {
			return nil, inputs{}, 0, fmt.Errorf("%w, after %d texts without position %s were left out", err, dropped, p.at.name)
		}
		rows = kept
	}
	if j.cfg.Method.Name == probe.MethodAttention {
		tokens, err := j.src.sequences(p.site, rows)
		return b, inputs{tokens: &tokens}, dropped, err
	}
	x, err := j.src.gather(p.site, rows)
	if err != nil {
		return nil, inputs{}, 0, err
	}
	// the two sides of a pair lie one after the other: together they are one row
	return b, inputs{rows: probe.Rows{N: x.N / width, D: x.D * width, Values: x.Values}}, dropped, nil
}

// rows are the rows of documents in the table of the site.
func (j *Job) rows(p place, docs []int) ([][]int64, map[int]string, error) {
	if p.at != stored {
		return j.src.places(p.at, docs)
	}
	rows, bad := make([][]int64, len(docs)), map[int]string{}
	for i, d := range docs {
		if rows[i] = []int64{j.src.example[d]}; rows[i][0] < 0 {
			bad[d] = "it has no row in the example table"
		}
	}
	return rows, bad, nil
}

// take is the batch of some of its units.
func (b *batch) take(keep []int) (*batch, error) {
	place := map[int]int{}
	for i, at := range keep {
		place[at] = i
	}
	move := func(rows []int) []int {
		var out []int
		for _, r := range rows {
			if at, ok := place[r]; ok {
				out = append(out, at)
			}
		}
		return out
	}
	out := &batch{units: pick(b.units, keep), group: pick(b.group, keep), types: b.types}
	if b.types.Values != nil {
		out.types.Values = pick(b.types.Values, keep)
	}
	out.split = probe.Split{Train: move(b.split.Train), Test: move(b.split.Test)}
	out.seen = probe.Split{Train: move(b.seen.Train), Test: move(b.seen.Test)}
	for _, t := range b.targets {
		t = t.Take(keep)
		for _, part := range [][]int{out.split.Train, out.split.Test} {
			if err := t.Take(part).Check(len(part), 1); err != nil {
				return nil, err
			}
		}
		out.targets = append(out.targets, t)
	}
	return out, nil
}

// save writes a cell's probe and returns its card's path in the run folder.
func (j *Job) save(dir *run.Dir, c *Cell, t probe.Target) (string, error) {
	settings, errSettings := json.Marshal(j.cfg.Method)
	data, errData := json.Marshal(cardData{Store: j.src.st.Manifest().Digest, Target: j.cfg.Target, Split: j.cfg.Split, Name: t.Name, Group: j.cfg.Group, Seed: j.cfg.Seed})
	measured, errMeasured := json.Marshal(c)
	if err := errors.Join(errSettings, errData, errMeasured); err != nil {
		return "", fmt.Errorf("probe: %w", err)
	}
	s := &probe.Saved{
		Card: probe.Card{
			Name: fileName(c.Target + "-" + c.Site + "-" + c.Position), Task: t.Task, Classes: t.Classes, Model: j.src.st.Manifest().Model, Site: c.Site,
			Position: c.Position, D: j.width(c), Method: c.Method, Settings: settings, Data: data, Measured: measured, Calibrator: c.calibrator,
		},
		Function: c.fitted.function, Attention: c.fitted.attention,
	}
	path, err := s.Save(dir.File("weights"))
	return filepath.ToSlash(filepath.Join("weights", filepath.Base(path))), err
}

// width is that of an activation of the cell's site.
func (j *Job) width(c *Cell) int {
	for _, s := range j.sites {
		if s.Name == c.Site {
			return s.Dim()
		}
	}
	return 0
}

// cardData is the data of a saved probe's card: how its labels are made from a store's.
type cardData struct {
	Store  string       `json:"store"` // digest
	Target TargetConfig `json:"target"`
	Split  SplitConfig  `json:"split"`
	Name   string       `json:"name"` // of the target
	Group  string       `json:"group"`
	Seed   uint64       `json:"seed"`
}

// fileName is a name of letters, digits and -._ for a file; where another character had to go, a digest keeps names apart.
func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, strings.TrimLeft(name, "."))
	if safe == name {
		return safe
	}
	sum := sha256.Sum256([]byte(name))
	return safe + "-" + hex.EncodeToString(sum[:4])
}
