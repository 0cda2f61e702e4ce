// Package merasurebench measures whether erased concepts come back in M-ErasureBench's modalities that a text encoder has: prompts, and
// embeddings of one new token that are learned on the edited encoder or on the original one.
package merasurebench

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"loupe/experiments/erase"
	"loupe/experiments/erase/attack"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
)

// Config says what is erased by which methods and how embeddings are learned.
type Config struct {
	study.Base
	Model   string               `json:"model" doc:"text encoder"`
	Task    method.TaskConfig    `json:"task" doc:"concepts that are erased, each by itself"`
	Methods []compare.Method     `json:"methods" doc:"that are compared; nothing comes first"`
	Learn   attack.LearnedConfig `json:"learn" doc:"how the new token is learned"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "m-erasurebench", Doc: "concept recognition rates after erasure: prompts and learned embeddings, white-box and black-box (M-ErasureBench)", New: newConfig},
		Title: "M-ErasureBench on a text encoder: what prompts and learned embeddings bring back",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{Base: study.Base{Name: "m-erasurebench", Seed: 1}, Model: "minilm", Task: method.DefaultTask(), Learn: attack.DefaultLearned()}
	c.Task.Erase = []string{"horse", "bicycle"}
	for _, name := range []string{"nothing", "random-subspace", "leace", "uce", "rece"} {
		c.Methods = append(c.Methods, compare.Method{Name: name})
	}
	return c
}

// Validate checks what does not depend on the model.
func (c *Config) Validate() error {
	if len(c.Methods) < 2 || c.Methods[0].Name != "nothing" {
		return errors.New("methods: nothing comes first, and at least one other")
	}
	if len(c.Task.Erase) == 0 {
		return errors.New("task.erase is empty; name the concepts, each of which is erased by itself")
	}
	for i, m := range c.Methods {
		if _, _, err := m.Resolve(); err != nil {
			return fmt.Errorf("methods.%d: %w", i, err)
		}
	}
	return errors.Join(c.Task.Validate(), c.Learn.Validate())
}

// row is one method over all concepts.
type row struct {
	attack.Recognition
	Inverse erase.Share `json:"inverse"` // states that the map takes to the prompt's; N 0: it has none
}

// subject is an encoder with the tasks, goals and embeddings learned on it, one of each for a concept.
type subject struct {
	cfg   *Config
	e     *encoder.Encoder
	tasks []*method.Task
	goal  []attack.Goal
	other []attack.Goal // a kept concept
	black []*attack.Learned
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	e, err := compare.Open(ctx, s, c.Model, "")
	if err != nil {
		return err
	}
	c.Task.Seed = c.Seed
	u := &subject{cfg: c, e: e}
	if err := u.prepare(ctx); err != nil {
		return err
	}
	s.Done("original")
	t := report.Table{
		Caption: "CRR: share of held-out prompts that are recognised as the erased concept. In the columns behind the first a new token stands for the name; \"inverse\" gives the states that an ungated map takes to the prompt's own",
		Columns: []report.Column{
			{Name: "method"}, {Name: "text"}, {Name: "learned, white-box", Doc: "on the edited encoder"}, {Name: "learned, black-box", Doc: "on the original encoder"},
			{Name: "inverse"}, {Name: "control", Doc: "a kept concept's embedding, recognised as the erased concept"}, {Name: "control learnt", Doc: "and as its own"}, {Name: "cosine", Doc: "with the prototype, fitting prompts, white-box"},
		},
	}
	var white erase.Share // over the methods that erase
	for _, m := range c.Methods {
		name := m.Name
		if m.Label != "" {
			name = m.Label
		}
		r, err := study.Step(s, "method-"+name, func() (*row, error) { return u.measure(ctx, m) })
		if err != nil {
			return err
		}
		cells := []any{name}
		key := strings.ReplaceAll(name, "-", "_")
		for _, one := range []struct {
			name  string
			share erase.Share
		}{{"text", r.Text}, {"white", r.White}, {"black", r.Black}, {"inverse", r.Inverse}, {"control", r.Control}, {"control_learnt", r.Learnt}} {
			if one.share.N == 0 {
				cells = append(cells, nil)
				continue
			}
			interval, err := one.share.Interval(0.95)
			if err != nil {
				return err
			}
			s.Interval(key+"."+one.name, interval)
			cells = append(cells, lab.Cell(interval))
		}
		s.Value(key+".cosine", r.Cosine)
		t.Rows = append(t.Rows, append(cells, r.Cosine))
		if m.Name != "nothing" && m.Name != "random-subspace" {
			white.Hits, white.N = white.Hits+r.White.Hits, white.N+r.White.N
		}
		s.Done(name)
	}
	if white.N > 0 {
		rate, err := white.Rate()
		if err != nil {
			return err
		}
		s.Value("white.mean", rate)
	}
	s.Text("Erased from %s, each by itself: %s. %d held-out prompts each; every method fitted with one seed, intervals are Wilson's over prompts. Inverted latents need a denoiser and are not here.",
		c.Model, strings.Join(c.Task.Erase, ", "), len(u.goal[0].Prompts))
	s.Table("crr", t)
	return nil
}

// prepare makes tasks and goals and learns the black-box embeddings, all at once.
func (u *subject) prepare(ctx context.Context) error {
	for _, name := range u.cfg.Task.Erase {
		cfg := u.cfg.Task
		cfg.Erase = []string{name}
		t, err := method.NewTask(cfg)
		if err != nil {
			return err
		}
		erased, kept, err := attack.Goals(ctx, u.e, t, 0)
		if err != nil {
			return err
		}
		u.tasks, u.goal, u.other = append(u.tasks, t), append(u.goal, erased[0]), append(u.other, kept[0])
	}
	var err error
	u.black, err = attack.Learn(ctx, u.e, nil, u.goal, u.cfg.Learn)
	return err
}

// measure fits a method to each concept and measures it.
func (u *subject) measure(ctx context.Context, m compare.Method) (*row, error) {
	found, conf, err := m.Resolve()
	if err != nil {
		return nil, err
	}
	var out row
	for i, t := range u.tasks {
		v, err := found.Fit(ctx, u.e, t, conf)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m.Name, t.Erase[0].Name, err)
		}
		err = u.add(ctx, &out, i, v)
		if v.Params != nil && v.Params != u.e.Model.Params {
			err = errors.Join(err, v.Params.FreeUnshared(u.e.Model.Params))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m.Name, t.Erase[0].Name, err)
		}
	}
	return &out, nil
}

// add measures concept i under a variant and adds it to a row.
func (u *subject) add(ctx context.Context, out *row, i int, v *encoder.Variant) error {
	r, err := attack.Recognise(ctx, u.e, v, u.goal[i], u.other[i], u.black[i], u.cfg.Learn)
	if err != nil {
		return err
	}
	for _, pair := range [][2]*erase.Share{{&out.Text, &r.Text}, {&out.White, &r.White}, {&out.Black, &r.Black}, {&out.Control, &r.Control}, {&out.Learnt, &r.Learnt}} {
		pair[0].Hits, pair[0].N = pair[0].Hits+pair[1].Hits, pair[0].N+pair[1].N
	}
	out.Cosine += r.Cosine / float64(len(u.tasks))
	inverse, err := attack.Find("inverse")
	if err != nil {
		return err
	}
	got, err := inverse.Run(ctx, u.e, v, u.goal[i], inverse.Config())
	if errors.Is(err, attack.ErrNotApplicable) || errors.Is(err, erase.ErrSingular) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, hit := range got.After {
		out.Inverse.N++
		if hit {
			out.Inverse.Hits++
		}
	}
	return nil
}
