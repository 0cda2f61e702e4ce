package sae

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/gomlx/compute"
)

// Member is one SAE of a [Group]: what it is called, what it reads and how it is trained.
type Member struct {
	// Name is a name for a folder, different for each member: letters, digits, '.', '_', '-', '+' and '='.
	Name string `json:"name"`
	// Inputs are the sites whose values, one after the other, are the SAE's input; Targets those of what a transcoder is
	// to write, empty for every other architecture.
	Inputs  []string `json:"inputs"`
	Targets []string `json:"targets,omitempty"`
	// Config need not be resolved. Batch, Tokens and CheckpointTokens are the same for all members.
	Config Config `json:"-"`
	// Metadata is what the SAE's cfg.json says besides what the trainer writes; see [Trainer.SetMetadata].
	Metadata map[string]any `json:"-"`
}

// sites are the member's inputs and then its targets, as its rows have them.
func (m Member) sites() []string { return slices.Concat(m.Inputs, m.Targets) }

// memberName keeps names fit for folders on every system.
var memberName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+=-]{0,199}$`)

// Group trains several SAEs - sites, architectures, widths, seeds - in one pass over the data: each batch is read once and
// every member takes a step on it. What a member becomes does not depend on the others. It is not safe for concurrent use.
// Close frees its memory on the device.
type Group struct {
	members []*member
	step    int64
}

// member is one SAE at work.
type member struct {
	Member
	trainer *Trainer
	index   []int // of its sites in the source
	widths  []int
	rows    []float32 // the joined batch; unused with one site
}

// StartGroup reads the sample that fresh trainers need from src, puts src back where it stood, and returns the group at
// step 0. The sample is that of the largest InitRows, for all sites at once. Members that differ in seed alone share the
// measurement of engine "auto".
func StartGroup(b compute.Backend, members []Member, src Source) (*Group, error) {
	g, err := newGroup(members, src)
	if err != nil {
		return nil, err
	}
	cursor, err := src.State()
	if err != nil {
		return nil, fmt.Errorf("sae: cursor of the data: %w", err)
	}
	most := 0
	for _, m := range g.members {
		most = max(most, m.Config.InitRows)
	}
	sample := sourceBuffers(src, most)
	n, err := fillSource(src, sample, most)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("sae: the data has no rows; capture activations first")
	}
	if err := src.Restore(cursor); err != nil {
		return nil, fmt.Errorf("sae: rewind the data: %w", err)
	}
	for i, m := range g.members {
		cfg := m.Config
		for _, before := range g.members[:i] {
			if cfg.Engine == EngineAuto && sameButSeed(cfg, before.Config) {
				cfg.Engine = before.trainer.Config().Engine
				break
			}
		}
		rows := min(n, cfg.InitRows)
		x := m.join(sample, rows, make([]float32, rows*cfg.rowWidth()))
		if m.trainer, err = NewTrainer(b, cfg, x); err != nil {
			g.Close()
			return nil, fmt.Errorf("sae: SAE %s: %w", m.Name, err)
		}
		m.trainer.SetMetadata(m.Metadata)
	}
	return g, nil
}

// ResolveMembers returns the members with their configurations resolved for the sites of src, or what is wrong with them.
func ResolveMembers(members []Member, src Source) ([]Member, error) {
	g, err := newGroup(members, src)
	if err != nil {
		return nil, err
	}
	out := make([]Member, len(g.members))
	for i, m := range g.members {
		out[i] = m.Member
	}
	return out, nil
}

// newGroup checks the members against the source and each other.
func newGroup(members []Member, src Source) (*Group, error) {
	if len(members) == 0 {
		return nil, errors.New("sae: a group needs at least one SAE")
	}
	g := &Group{}
	for i, spec := range members {
		m := &member{Member: spec}
		if err := m.resolve(src); err != nil {
			return nil, fmt.Errorf("sae: SAE %q: %w", spec.Name, err)
		}
		if slices.ContainsFunc(members[:i], func(other Member) bool { return other.Name == spec.Name }) {
			return nil, fmt.Errorf("sae: two SAEs are called %s; give them different names", spec.Name)
		}
		first := m.Config
		if i > 0 {
			first = g.members[0].Config
		}
		for _, same := range []struct {
			field    string
			is, want int64
		}{
			{"batch", int64(m.Config.Batch), int64(first.Batch)},
			{"tokens", m.Config.Tokens, first.Tokens},
			{"checkpoint_tokens", m.Config.CheckpointTokens, first.CheckpointTokens},
		} {
			if same.is != same.want {
				return nil, fmt.Errorf("sae: %s is %d for SAE %s and %d for SAE %s; it is the same for all SAEs of one pass over the data", same.field, same.is, m.Name, same.want, members[0].Name)
			}
		}
		g.members = append(g.members, m)
	}
	return g, nil
}

// resolve finds the member's sites in src and resolves its configuration for their widths.
func (m *member) resolve(src Source) error {
	if !memberName.MatchString(m.Name) {
		return errors.New("a name has 1 to 200 letters, digits, '.', '_', '+', '=' and '-', and starts with a letter or digit")
	}
	if len(m.Inputs) == 0 {
		return errors.New("it has no input site; name one")
	}
	_, in, err := siteIndexes(src, m.Inputs)
	if err != nil {
		return err
	}
	_, out, err := siteIndexes(src, m.Targets)
	if err != nil {
		return err
	}
	cfg := m.Config
	many := cfg.ReadsMany()
	if many && cfg.Layers == 0 {
		cfg.Layers = len(m.Inputs)
	}
	switch {
	case cfg.transcodes() && len(m.Targets) == 0:
		return fmt.Errorf("%s needs a target site", cfg.Arch)
	case !cfg.transcodes() && len(m.Targets) > 0:
		return fmt.Errorf("%s has no target site; leave out %v, or name a transcoder", cfg.Arch, m.Targets)
	case many && len(m.Inputs) != cfg.Layers:
		return fmt.Errorf("%s with layers %d needs as many input sites; it has %v", cfg.Arch, cfg.Layers, m.Inputs)
	case cfg.crossLayer() && len(m.Targets) != cfg.Layers:
		return fmt.Errorf("%s with layers %d needs as many target sites; it has %v", cfg.Arch, cfg.Layers, m.Targets)
	}
	if many {
		if err := equalWidths(src, m.Inputs); err != nil {
			return err
		}
	}
	if cfg.crossLayer() {
		if err := equalWidths(src, m.Targets); err != nil {
			return err
		}
	}
	if cfg.transcodes() && cfg.DOut == 0 {
		cfg.DOut = out / cfg.outSites()
	}
	if cfg, err = cfg.Resolve(in); err != nil {
		return err
	}
	if cfg.Arch == ArchTemporal {
		if err := inSequences(src, cfg.Temporal.Context); err != nil {
			return err
		}
	}
	if cfg.rowWidth() != in+out {
		return fmt.Errorf("its sites %v have %d dimensions together and its configuration is for rows of %d (d_in %d, d_out %d)", m.sites(), in+out, cfg.rowWidth(), cfg.DIn, cfg.DOut)
	}
	m.Config = cfg
	if m.index, _, err = siteIndexes(src, m.sites()); err != nil {
		return err
	}
	for _, i := range m.index {
		m.widths = append(m.widths, src.Sites()[i].Width)
	}
	return nil
}

// equalWidths tells whether the named sites are equally wide, as those of a crosscoder must be.
func equalWidths(src Source, names []string) error {
	first := 0
	for i, name := range names {
		_, width, err := siteIndexes(src, []string{name})
		switch {
		case err != nil:
			return err
		case i == 0:
			first = width
		case width != first:
			return fmt.Errorf("site %s has %d dimensions and site %s %d; they must have the same", names[0], first, name, width)
		}
	}
	return nil
}

// join returns the member's rows of a batch of the source: with one site the source's own buffer, else dst.
func (m *member) join(batch [][]float32, rows int, dst []float32) []float32 {
	if len(m.index) == 1 {
		return batch[m.index[0]][:rows*m.widths[0]]
	}
	parts := make([][]float32, len(m.index))
	for p, i := range m.index {
		parts[p] = batch[i]
	}
	joinRows(dst, parts, m.widths)
	return dst
}

// sameButSeed tells whether two configurations are alike but for the seed.
func sameButSeed(a, b Config) bool {
	a.Seed = b.Seed
	return equalConfigs(a, b)
}

// Names lists the members in order.
func (g *Group) Names() []string {
	out := make([]string, len(g.members))
	for i, m := range g.members {
		out[i] = m.Name
	}
	return out
}

// Trainer returns member i's trainer. The group owns it.
func (g *Group) Trainer(i int) *Trainer { return g.members[i].trainer }

// Member returns what member i is, its configuration resolved and with the engine that was chosen.
func (g *Group) Member(i int) Member {
	m := g.members[i].Member
	m.Config = g.members[i].trainer.Config()
	return m
}

// Len is the number of members.
func (g *Group) Len() int { return len(g.members) }

// Tokens returns the number of rows read.
func (g *Group) Tokens() int64 { return g.step * int64(g.members[0].Config.Batch) }

// Steps returns the number of steps of the whole training.
func (g *Group) Steps() int64 { return g.members[0].Config.Steps() }

// Close frees the engines.
func (g *Group) Close() {
	for _, m := range g.members {
		if m.trainer != nil {
			m.trainer.Close()
		}
	}
}

// GroupOptions say what [Group.Train] does besides training.
type GroupOptions struct {
	Save, SaveInterrupted SaveFunc // as in [TrainOptions]
	// OnStep is called after each step with every member's report, in the order of the members; an error stops the run.
	OnStep func([]StepStats) error
}

// Train trains all members until all steps are done; see [Trainer.Train] for checkpoints and the end of ctx. An error of
// one SAE - one that wraps [ErrNonFinite], for instance - stops the group and names the SAE.
func (g *Group) Train(ctx context.Context, src Source, opt GroupOptions) error {
	cfg := g.members[0].Config
	for _, m := range g.members {
		if err := m.find(src, m.trainer.cfg.rowWidth()); err != nil {
			return err
		}
	}
	buffers := sourceBuffers(src, cfg.Batch)
	stats := make([]StepStats, len(g.members))
	l := loop{
		cfg: cfg, at: func() int64 { return g.step },
		next: func() error {
			n, err := fillSource(src, buffers, cfg.Batch)
			if err != nil {
				return err
			}
			if n < cfg.Batch {
				return dataEnded(g.Tokens()+int64(n), cfg)
			}
			for i, m := range g.members {
				if len(m.index) > 1 && m.rows == nil {
					m.rows = make([]float32, cfg.Batch*m.trainer.cfg.rowWidth())
				}
				if stats[i], err = m.trainer.Step(m.join(buffers, n, m.rows)); err != nil {
					return fmt.Errorf("SAE %s: %w", m.Name, err)
				}
			}
			g.step++
			if opt.OnStep == nil {
				return nil
			}
			return opt.OnStep(stats)
		},
		cursor: src.State, write: g.WriteCheckpoint,
	}
	return l.run(ctx, opt.Save, opt.SaveInterrupted)
}

// find looks up the member's sites in a source, where they must be width wide together.
func (m *member) find(src Source, width int) error {
	index, got, err := siteIndexes(src, m.sites())
	if err != nil {
		return fmt.Errorf("sae: SAE %s: %w", m.Name, err)
	}
	if got != width {
		return fmt.Errorf("sae: SAE %s: its sites %v have %d dimensions together, and it takes rows of %d", m.Name, m.sites(), got, width)
	}
	m.index, m.widths = index, nil
	for _, i := range index {
		m.widths = append(m.widths, src.Sites()[i].Width)
	}
	return nil
}
