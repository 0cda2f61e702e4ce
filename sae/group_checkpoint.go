package sae

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/gomlx/compute"
)

// A group's checkpoint is a folder with one trainer's checkpoint for each member, under the member's name, and group.json.
const (
	groupFile   = "group.json"
	groupFormat = 1
)

// groupState is group.json.
type groupState struct {
	Format  int      `json:"format"`
	Step    int64    `json:"step"`
	Members []Member `json:"members"`
	Cursor  []byte   `json:"cursor"`
}

// WriteCheckpoint writes the state of all members and the data's cursor into dir, an existing empty folder; see
// [Trainer.WriteCheckpoint].
func (g *Group) WriteCheckpoint(dir string, cursor []byte) error {
	state := groupState{Format: groupFormat, Step: g.step, Cursor: cursor}
	for _, m := range g.members {
		sub := filepath.Join(dir, m.Name)
		if err := os.Mkdir(sub, 0o755); err != nil {
			return fmt.Errorf("sae: write checkpoint: %w", err)
		}
		if err := m.trainer.WriteCheckpoint(sub, nil); err != nil {
			return fmt.Errorf("sae: SAE %s: %w", m.Name, err)
		}
		state.Members = append(state.Members, m.Member)
	}
	if err := writeJSON(filepath.Join(dir, groupFile), state); err != nil {
		return fmt.Errorf("sae: write checkpoint: %w", err)
	}
	return nil
}

// ReadGroup returns a group that goes on where [Group.WriteCheckpoint] stood, with the configurations it was saved with,
// and the data's cursor for [Source.Restore]. A damaged checkpoint is an error that names the file.
func ReadGroup(b compute.Backend, dir string) (*Group, []byte, error) {
	g, cursor, err := readGroup(b, dir)
	if err != nil {
		return nil, nil, fmt.Errorf("sae: checkpoint %s: %w; resume from an earlier one", dir, err)
	}
	return g, cursor, nil
}

func readGroup(b compute.Backend, dir string) (*Group, []byte, error) {
	raw, err := os.ReadFile(filepath.Join(dir, groupFile))
	if err != nil {
		return nil, nil, err
	}
	var s groupState
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", groupFile, err)
	}
	if s.Format != groupFormat || s.Step < 0 || len(s.Members) == 0 {
		return nil, nil, fmt.Errorf("%s: format %d (want %d), step %d, %d SAEs", groupFile, s.Format, groupFormat, s.Step, len(s.Members))
	}
	g := &Group{step: s.Step}
	for _, spec := range s.Members {
		m := &member{Member: spec}
		g.members = append(g.members, m)
		if !memberName.MatchString(spec.Name) {
			err = fmt.Errorf("%s: %q is no name of an SAE", groupFile, spec.Name)
		} else if m.trainer, _, err = readCheckpoint(b, filepath.Join(dir, spec.Name)); err != nil {
			err = fmt.Errorf("SAE %s: %w", spec.Name, err)
		} else if m.trainer.step != s.Step {
			err = fmt.Errorf("SAE %s stands at step %d and the group at %d", spec.Name, m.trainer.step, s.Step)
		}
		if err != nil {
			g.Close()
			return nil, nil, err
		}
		m.Config, m.Metadata = m.trainer.cfg, m.trainer.meta
	}
	return g, s.Cursor, nil
}

func equalConfigs(a, b Config) bool { return reflect.DeepEqual(a, b) }
