package setup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Status is how one component stands, without changing anything.
type Status struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	State  State  `json:"state"`
	Path   string `json:"path"`
	Source string `json:"source,omitempty"`
	Digest string `json:"digest,omitempty"` // "pinned", "recorded" or "unknown"
	Detail string `json:"detail,omitempty"`
	CUDA   bool   `json:"cuda,omitempty"`
}

// Check looks at the components in the cache folder home (nil: those of Components). It compares sizes and recorded digests; with deep it hashes every file
// again. The error is that of ctx.
func Check(ctx context.Context, home string, components []Component, deep bool) ([]Status, error) {
	if components == nil {
		components = Components()
	}
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, fmt.Errorf("setup: %w", err)
	}
	m := readManifest(home)
	list := make([]Status, 0, len(components))
	for _, c := range components {
		list = append(list, check(ctx, home, m, c, deep))
		if ctx.Err() != nil {
			return list, fmt.Errorf("setup: check %s: %w", c.Name, ctx.Err())
		}
	}
	return list, nil
}

func check(ctx context.Context, home string, m manifest, c Component, deep bool) Status {
	s := Status{Name: c.Name, About: c.About, CUDA: c.CUDA, Path: filepath.Join(home, filepath.FromSlash(c.To))}
	if found := elsewhere(home, c); found != "" {
		s.State, s.Path, s.Digest = StateFound, found, "unknown"
		return s
	}
	it := m.Items[c.Name]
	_, err := inspect(ctx, home, c, it, deep)
	switch {
	case err == nil:
		s.State, s.Source, s.Digest = StateOK, it.Source, "recorded"
		if len(c.Files) > 0 && (it.Pinned || len(it.Files) == 0) {
			s.Digest = "pinned"
		}
	case errors.Is(err, errMissing) && !c.Supported():
		s.State = StateUnsupported
	case errors.Is(err, errMissing):
		s.State = StateMissing
	default:
		s.State, s.Detail = StateDamaged, err.Error()
	}
	return s
}
