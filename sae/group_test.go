package sae

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// columns is a Source over rows in memory that hold the sites' values side by side.
type columns struct {
	rows  *MemoryRows
	sites []SourceSite
	buf   []float32
	calls int // of Next
}

func newColumns(t testing.TB, data []float32, sites ...SourceSite) *columns {
	t.Helper()
	c := &columns{sites: sites}
	width := 0
	for _, s := range sites {
		width += s.Width
	}
	var err error
	if c.rows, err = NewMemoryRows(data, width, 3, 0); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *columns) Sites() []SourceSite        { return c.sites }
func (c *columns) State() ([]byte, error)     { return c.rows.State() }
func (c *columns) Restore(state []byte) error { return c.rows.Restore(state) }
func (c *columns) Next(dst [][]float32) (int, error) {
	c.calls++
	n := len(dst[0]) / c.sites[0].Width
	c.buf = make([]float32, n*c.rows.width)
	if _, err := c.rows.Next(c.buf); err != nil {
		return 0, err
	}
	at := 0
	for i, s := range c.sites {
		for r := range n {
			copy(dst[i][r*s.Width:(r+1)*s.Width], c.buf[r*c.rows.width+at:])
		}
		at += s.Width
	}
	return n, nil
}

// groupData are 400 rows of two sites, a of 16 dimensions and b of 8.
func groupData() []float32 {
	a, b := plant(9, 16, 24, 3, 400, 0.05).x, plant(10, 8, 12, 2, 400, 0.05).x
	var data []float32
	for r := range 400 {
		data = append(append(data, a[r*16:(r+1)*16]...), b[r*8:(r+1)*8]...)
	}
	return data
}

func groupSource(t testing.TB) *columns {
	return newColumns(t, groupData(), SourceSite{"a", 16}, SourceSite{"b", 8})
}

// groupMembers are SAEs that differ in site, architecture, width and seed.
func groupMembers(t testing.TB) []Member {
	config := func(edit func(*Config)) Config {
		cfg := small(t, edit)
		cfg.DIn = 0 // the group finds it
		cfg.DOut = 0
		return cfg
	}
	return []Member{
		{Name: "topk-a", Inputs: []string{"a"}, Config: config(nil)},
		{Name: "topk-a-s2", Inputs: []string{"a"}, Config: config(func(c *Config) { c.Seed, c.DSAE, c.InitRows = 2, 32, 100 })},
		{Name: "batchtopk-b", Inputs: []string{"b"}, Config: config(func(c *Config) { c.Arch = ArchBatchTopK })},
		{Name: "topk-both", Inputs: []string{"b", "a"}, Config: config(func(c *Config) { c.K = 6 })},
		{Name: "transcoder-a-b", Inputs: []string{"a"}, Targets: []string{"b"}, Config: config(func(c *Config) {
			c.Arch, c.Engine, c.Decoder, c.Loss = ArchTopKTranscoder, EngineDense, DecoderFree, LossMSE
		})},
	}
}

// startGroup starts the members that the backend can train.
func startGroup(t testing.TB, src Source) *Group {
	t.Helper()
	members := groupMembers(t)
	if graphtest.IsGo(t) {
		members = members[:4] // the dense program needs TopK of the backend
	}
	g, err := StartGroup(graphtest.Backend(t), members, src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// memberBytes are the bytes of a member's newest checkpoint and of its saved SAE, without the data's cursor.
func memberBytes(t *testing.T, tr *Trainer) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := tr.WriteCheckpoint(dir, nil); err != nil {
		t.Fatal(err)
	}
	return finalBytes(t, tr, folder{last: dir})
}

// TestGroupEqualsAlone trains each member of a group alone, on the same rows, and wants the same bytes. The group reads
// the data once.
func TestGroupEqualsAlone(t *testing.T) {
	b := graphtest.Backend(t)
	src := groupSource(t)
	g := startGroup(t, src)
	steps := 0
	err := g.Train(t.Context(), src, GroupOptions{OnStep: func(all []StepStats) error {
		steps++
		for i, s := range all {
			if s.Step != int64(steps) || !(s.Loss > 0) || !(s.L0 > 0) {
				t.Errorf("step %d of SAE %s reports %+v", steps, g.Names()[i], s)
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if src.calls != steps+1 || int64(steps) != g.Steps() {
		t.Errorf("%d reads for %d of %d steps; want one each and one for the start", src.calls, steps, g.Steps())
	}
	for i := range g.Len() {
		m := g.Member(i)
		alone := groupSource(t)
		rows, _, err := Join(alone, append(m.Inputs, m.Targets...)...)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := Start(b, m.Config, rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Train(t.Context(), rows, TrainOptions{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(memberBytes(t, tr), memberBytes(t, g.Trainer(i))) {
			t.Errorf("SAE %s has other bytes in a group than alone", m.Name)
		}
		tr.Close()
	}
	if bytes.Equal(memberBytes(t, g.Trainer(0)), memberBytes(t, g.Trainer(1))) {
		t.Error("two different members have the same bytes: the comparison sees nothing")
	}
}

// TestGroupResume interrupts a group at steps between its checkpoints, by turns without warning and with the end of its
// context, which leaves a checkpoint; the end has the bytes of an unbroken run.
func TestGroupResume(t *testing.T) {
	b := graphtest.Backend(t)
	finish := func(g *Group) (all [][]byte) {
		for i := range g.Len() {
			all = append(all, memberBytes(t, g.Trainer(i)))
		}
		return all
	}
	src := groupSource(t)
	g := startGroup(t, src)
	whole := folder{dir: t.TempDir()}
	if err := g.Train(t.Context(), src, GroupOptions{Save: whole.save}); err != nil {
		t.Fatal(err)
	}
	want := finish(g)

	rng := rand.New(rand.NewPCG(5, 1))
	broken := folder{dir: t.TempDir()}
	src = groupSource(t)
	g = startGroup(t, src)
	stop := errors.New("killed")
	kills, interim := 0, 0
	for g.step < g.Steps() {
		ctx, cancel := context.WithCancel(t.Context())
		left, graceful := 2+rng.IntN(6), kills%2 == 0
		err := g.Train(ctx, src, GroupOptions{
			Save: broken.save,
			SaveInterrupted: func(step int64, write func(string) error) error {
				interim++
				return broken.save(step, write)
			},
			OnStep: func([]StepStats) error {
				switch left--; {
				case left > 0:
				case graceful:
					cancel()
				default:
					return stop
				}
				return nil
			},
		})
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		kills++
		var cursor []byte
		src = groupSource(t)
		if g, cursor, err = ReadGroup(b, broken.last); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		if err := src.Restore(cursor); err != nil {
			t.Fatal(err)
		}
	}
	if kills < 3 || interim < 2 {
		t.Fatalf("%d interruptions, %d of them with a checkpoint: the test is too weak", kills, interim)
	}
	for i, got := range finish(g) {
		if !bytes.Equal(got, want[i]) {
			t.Errorf("after %d interruptions SAE %s has other bytes than in an unbroken run", kills, g.Names()[i])
		}
	}
	for _, name := range []string{groupFile} {
		got, err := os.ReadFile(filepath.Join(broken.last, name))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := os.ReadFile(filepath.Join(whole.last, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs (%v)", name, err)
		}
	}
}

// TestGroupNonFinite has NaN in one site: the group stops, names the SAE that reads it, and the checkpoint before stays.
func TestGroupNonFinite(t *testing.T) {
	data := groupData()
	src := newColumns(t, data, SourceSite{"a", 16}, SourceSite{"b", 8})
	g := startGroup(t, src)
	kept := folder{dir: t.TempDir()}
	err := g.Train(t.Context(), src, GroupOptions{Save: kept.save, OnStep: func(all []StepStats) error {
		if all[0].Step == 7 {
			for r := range 400 {
				data[r*24+16+3] = float32(math.NaN())
			}
		}
		return nil
	}})
	if !errors.Is(err, ErrNonFinite) || !strings.Contains(err.Error(), "SAE batchtopk-b: sae: step 8: row 0, dimension 3") || !strings.Contains(err.Error(), "last checkpoint: step 5") {
		t.Errorf("got %v; want the SAE, the step, the place and the checkpoint", err)
	}
	again, _, err := ReadGroup(graphtest.Backend(t), kept.last)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.step != 5 || again.Tokens() != 5*32 {
		t.Errorf("the checkpoint kept is of step %d, want 5", again.step)
	}
}

func TestGroupRefuses(t *testing.T) {
	b := graphtest.Backend(t)
	good := groupMembers(t)
	edit := func(i int, change func(*Member)) []Member {
		out := append([]Member{}, good...)
		change(&out[i])
		return out
	}
	for _, c := range []struct {
		name    string
		members []Member
		want    string
	}{
		{"none", nil, "at least one SAE"},
		{"no name", edit(0, func(m *Member) { m.Name = "" }), "a name has"},
		{"a path", edit(1, func(m *Member) { m.Name = "../x" }), "a name has"},
		{"twice", edit(1, func(m *Member) { m.Name = "topk-a" }), "two SAEs are called topk-a"},
		{"no input", edit(0, func(m *Member) { m.Inputs = nil }), "no input site"},
		{"site", edit(0, func(m *Member) { m.Inputs = []string{"c"} }), "no site c; it has [a b]"},
		{"no target", edit(4, func(m *Member) { m.Targets = nil }), "topk_transcoder needs a target site"},
		{"a target", edit(0, func(m *Member) { m.Targets = []string{"b"} }), "topk has no target site"},
		{"width", edit(0, func(m *Member) { m.Config.DIn = 8 }), `SAE "topk-a": sae: config: d_in is 8 but the activations of 1 sites have 16`},
		{"target's width", edit(4, func(m *Member) { m.Config.DOut = 9 }), "24 dimensions together"},
		{"crosscoder's widths", edit(3, func(m *Member) { m.Config.Arch, m.Config.Engine = ArchTopKCrosscoder, EngineDense }), "site b has 8 dimensions and site a 16"},
		{"crosscoder's layers", edit(3, func(m *Member) { m.Config.Arch, m.Config.Layers = ArchTopKCrosscoder, 3 }), "layers 3 needs as many input sites"},
		{"batch", edit(1, func(m *Member) { m.Config.Batch = 64 }), "batch is 64 for SAE topk-a-s2 and 32 for SAE topk-a"},
		{"tokens", edit(1, func(m *Member) { m.Config.Tokens = 64 }), "tokens is 64"},
		{"checkpoints", edit(1, func(m *Member) { m.Config.CheckpointTokens = 64 }), "checkpoint_tokens is 64"},
		{"k", edit(2, func(m *Member) { m.Config.K = 65 }), `SAE "batchtopk-b": sae: config: k is 65`},
	} {
		if _, err := StartGroup(b, c.members, groupSource(t)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestDamagedGroup damages group.json and a member; the errors name them.
func TestDamagedGroup(t *testing.T) {
	src := groupSource(t)
	g := startGroup(t, src)
	for _, c := range []struct {
		file, old, to, want string
	}{
		{groupFile, `"format": 1`, `"format": 9`, "group.json: format 9"},
		{groupFile, `"topk-a"`, `"../up"`, `"../up" is no name`},
		{groupFile, `"step": 0`, `"step": 5`, "SAE topk-a stands at step 0 and the group at 5"},
		{"topk-a-s2/" + stateFile, `"k": 4`, `"k": 400`, "SAE topk-a-s2: sae: config: k is 400"},
		{"topk-a/" + stateTensors, "", "", "SAE topk-a"},
	} {
		dir := t.TempDir()
		if err := g.WriteCheckpoint(dir, nil); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(c.file))
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if c.old == "" {
			raw[len(raw)/2] ^= 1
		} else {
			raw = bytes.Replace(raw, []byte(c.old), []byte(c.to), 1)
		}
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadGroup(graphtest.Backend(t), dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s damaged: got %v, want %q", c.file, err, c.want)
		}
	}
}
