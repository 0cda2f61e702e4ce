package greaterthan

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"loupe/circuits"
	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/graphtest"
	"loupe/internal/lab"
	rundir "loupe/internal/run"
	"loupe/internal/safetensors"
	"loupe/internal/study"
	"loupe/internal/study/studytest"
	"loupe/probe/model"
)

// TestSettings: both configurations are valid, and settings that say nothing are refused.
func TestSettings(t *testing.T) {
	kinds := []config.Kind{Study().Kind}
	for _, file := range []string{"config.yaml", "full.yaml"} {
		if _, err := config.Load(kinds, config.Input{Path: file}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, set := range []string{"sizes=[800, 200]", "digits=3", "n=1", "random=0"} {
		if _, err := config.Load(kinds, config.Input{Path: "config.yaml", Set: []string{set}}); err == nil {
			t.Errorf("%s was accepted", set)
		}
	}
	if _, err := expect.Load("expect.yaml"); err != nil {
		t.Error(err)
	}
}

// plantedTask is the hand-built model that tells larger numbers, with its reference pairs.
func plantedTask(t *testing.T) *circuits.Task {
	t.Helper()
	root := filepath.Join(graphtest.Golden(t), "circuits")
	f, err := safetensors.Open(filepath.Join(root, "planted", "greater-than", "inputs.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := func(name string) (out []int32, shape []int) {
		v, err := f.Int64(name)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Info(name)
		for _, x := range v {
			out = append(out, int32(x))
		}
		return out, info.Shape
	}
	clean, shape := read("clean")
	corrupted, _ := read("corrupted")
	answer, _ := read("answer")
	wrong, _ := read("wrong")
	p := &circuits.Pairs{Rows: shape[0], Seq: shape[1], Clean: clean, Corrupted: corrupted}
	for r := range p.Rows {
		p.Answer, p.Wrong = append(p.Answer, answer[r:r+1]), append(p.Wrong, wrong[r:r+1])
	}
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m, err := model.Load(t.Context(), engine.Backend(), filepath.Join(root, "models", "greater-than"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	task, err := circuits.NewTask(t.Context(), engine, m, p, circuits.LogitDiff(), circuits.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// TestPlanted: on the hand-built model every method's circuit of a few edges keeps the effect, random ones of its size do not, and the
// planted units cost most.
func TestPlanted(t *testing.T) {
	task := plantedTask(t)
	c := newConfig().(*Config)
	c.Sizes, c.Random, c.Top = []int{4, len(task.Graph.Edges())}, 4, 3
	st := Study()
	st.Run = func(ctx context.Context, s *study.Session, _ any) error {
		if err := compare(ctx, s, c, task); err != nil {
			return err
		}
		return units(ctx, s, c, task)
	}
	dir, err := rundir.Create(rundir.Spec{Root: t.TempDir(), Name: "x", Kind: st.Kind.Name, ConfigHash: strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := st.Carry(t.Context(), graphtest.Interpreted(t), c, dir, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range methods {
		if f := studytest.Number(t, r, m.key+".f_4").Value; f < 0.9 || f > 1.1 {
			t.Errorf("%s: 4 edges keep %v of the planted effect", m.name, f)
		}
	}
	if f := studytest.Number(t, r, "random.f_4").Value; f > 0.5 {
		t.Errorf("random circuits keep %v", f)
	}
	if n := studytest.Number(t, r, "units.mlps").Value; n < 1 {
		t.Errorf("%v MLPs among the three units that cost most; the planted comparison is in one", n)
	}
}
