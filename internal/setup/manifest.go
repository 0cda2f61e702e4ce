package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// manifest is the file in the cache folder that records what is installed there, so that a later check need not hash it again.
type manifest struct {
	Format int             `json:"format"`
	Items  map[string]item `json:"items"` // by component name
}

const (
	manifestName   = "manifest.json"
	manifestFormat = 1
)

// item is the record of one installed component.
type item struct {
	Source string            `json:"source"` // where it came from, in words
	Wheels []string          `json:"wheels,omitempty"`
	Pinned bool              `json:"pinned"` // it comes from the table's wheels or has the table's digests
	Files  map[string]record `json:"files"`  // by path relative to the cache folder
}

func (i item) equal(o item) bool {
	return i.Source == o.Source && i.Pinned == o.Pinned && slices.Equal(i.Wheels, o.Wheels) && maps.Equal(i.Files, o.Files)
}

// record is a file as it was when its digest was computed.
type record struct {
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	ModTime int64  `json:"mod_time"` // nanoseconds since 1970
}

// readManifest reads the manifest of home. A missing or damaged one is an empty one: files are hashed again then.
func readManifest(home string) manifest {
	empty := manifest{Format: manifestFormat, Items: map[string]item{}}
	data, err := os.ReadFile(filepath.Join(home, manifestName))
	if err != nil {
		return empty
	}
	var m manifest
	if json.Unmarshal(data, &m) != nil || m.Format != manifestFormat || m.Items == nil {
		return empty
	}
	return m
}

// write replaces the manifest of home in one step.
func (m manifest) write(home string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(home, manifestName+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(home, manifestName))
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", manifestName, err)
	}
	return nil
}

// State says how a component stands in the cache folder.
type State string

// The states of a component.
const (
	StateOK          State = "ok"          // there, with the right digests
	StateFound       State = "found"       // there, outside the cache folder or of unknown digest
	StateMissing     State = "missing"     // not there
	StateDamaged     State = "damaged"     // there, but a file is missing or its content is wrong
	StateUnsupported State = "unsupported" // not there, and no pinned wheel fits this machine
)

// errMissing and errDamaged tell inspect's two kinds of bad news apart.
var (
	errMissing = errors.New("missing")
	errDamaged = errors.New("damaged")
)

// inspect checks component c in home against the manifest's item it. Files whose size and time are as recorded keep their recorded
// digest; others, and all with deep, are hashed. It returns the fresh record of all files. The error is errMissing when nothing of c
// is there, errDamaged when something is but not the right thing.
func inspect(ctx context.Context, home string, c Component, it item, deep bool) (map[string]record, error) {
	want := c.Files
	if len(want) == 0 || len(it.Files) > 0 && !it.Pinned {
		want = make(map[string]File, len(it.Files))
		for name, r := range it.Files {
			want[name] = File{r.Size, r.SHA256}
		}
	}
	if _, err := os.Stat(filepath.Join(home, filepath.FromSlash(c.To))); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errMissing
		}
		return nil, err
	}
	if len(want) == 0 {
		return nil, fmt.Errorf("%w: %s is there, but no record of what it should hold", errDamaged, c.To)
	}
	if len(c.Files) == 0 && it.Pinned && !slices.Equal(it.Wheels, c.requirements()) {
		return nil, fmt.Errorf("%w: installed from other versions than the pinned ones", errDamaged)
	}
	got := make(map[string]record, len(want))
	for name, w := range want {
		r, err := inspectFile(ctx, filepath.Join(home, filepath.FromSlash(name)), it.Files[name], deep)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s is missing", errDamaged, name)
		}
		if err != nil {
			return nil, err
		}
		if r.Size != w.Size {
			return nil, fmt.Errorf("%w: %s has %d bytes, want %d", errDamaged, name, r.Size, w.Size)
		}
		if r.SHA256 != w.SHA256 {
			return nil, fmt.Errorf("%w: the SHA-256 of %s begins with %.12s, want %.12s", errDamaged, name, r.SHA256, w.SHA256)
		}
		got[name] = r
	}
	return got, nil
}

func inspectFile(ctx context.Context, path string, known record, deep bool) (record, error) {
	info, err := os.Stat(path)
	if err != nil {
		return record{}, err
	}
	mod := info.ModTime().UnixNano()
	if !deep && known.Size == info.Size() && known.ModTime == mod {
		return known, nil
	}
	f, err := digest(ctx, path)
	return record{f.Size, f.SHA256, mod}, err
}
