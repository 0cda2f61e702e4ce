package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"loupe/internal/atomicfile"
	"loupe/internal/backend"
	"loupe/internal/config"
)

// SAELensPrefix marks the name of an SAE in SAELens's registry: saelens:RELEASE/ID.
const SAELensPrefix = "saelens:"

// The registry is one file of SAELens's source, which lists releases, their repositories and the folders in them.
const (
	saelensRegistry = "pretrained_saes.yaml"
	saelensSource   = "https://raw.githubusercontent.com/decoderesearch/SAELens/main/sae_lens/" + saelensRegistry
	maxRegistry     = 32 << 20
	registryTimeout = time.Minute
)

// RegistryVar names the environment variable with a registry file to use in place of the one in loupe's cache folder.
const RegistryVar = "LOUPE_SAELENS_REGISTRY"

// PretrainedSAE is an entry of SAELens's registry.
type PretrainedSAE struct {
	Release, ID string
	Repo        string         // org/name on the hub
	Path        string         // folder or file in it
	Loader      string         // the conversion_func with which SAELens reads it; "" for its own format
	Model       string         // that it was trained on
	Scale       float64        // factor of the input that SAELens folds into the weights; 0: none is known
	Overrides   map[string]any // of cfg.json's metadata
}

// Ref is the hub's reference of the entry.
func (p PretrainedSAE) Ref() string { return "hf:" + p.Repo + "/" + p.Path }

// FindSAELens looks up saelens:RELEASE/ID. The registry is read from LOUPE_SAELENS_REGISTRY, else from loupe's cache folder, into
// which it is fetched when it is not there. Errors wrap ErrNotFound or ErrRef and offer the nearest names.
func FindSAELens(ctx context.Context, name string, opt Options) (PretrainedSAE, error) {
	release, id, ok := strings.Cut(strings.TrimPrefix(name, SAELensPrefix), "/")
	if !ok || release == "" || id == "" {
		return PretrainedSAE{}, fmt.Errorf("hub: %w: %q; write %sRELEASE/ID, as in %sgpt2-small-res-jb/blocks.8.hook_resid_pre", ErrRef, name, SAELensPrefix, SAELensPrefix)
	}
	raw, err := registryBytes(ctx, opt)
	if err != nil {
		return PretrainedSAE{}, err
	}
	return findSAELens(raw, release, id)
}

// registryEntry is a release in the file.
type registryEntry struct {
	Loader    *string        `yaml:"conversion_func"`
	Model     string         `yaml:"model"`
	Repo      string         `yaml:"repo_id"`
	Overrides map[string]any `yaml:"config_overrides"`
	SAEs      []registrySAE  `yaml:"saes"`
}

// registrySAE is an SAE of a release.
type registrySAE struct {
	ID    string  `yaml:"id"`
	Path  string  `yaml:"path"`
	Scale float64 `yaml:"norm_scaling_factor"`
}

// findSAELens finds an entry in the registry's bytes. Repository and path are checked, as they become parts of paths.
func findSAELens(raw []byte, release, id string) (PretrainedSAE, error) {
	var all map[string]yaml.Node
	if err := yaml.Unmarshal(raw, &all); err != nil {
		return PretrainedSAE{}, fmt.Errorf("hub: SAELens's registry cannot be read: %w; delete it and try again", err)
	}
	node, ok := all[release]
	if !ok {
		var names []string
		for n := range all {
			names = append(names, n)
		}
		return PretrainedSAE{}, fmt.Errorf("hub: %w: SAELens's registry has no release %q%s", ErrNotFound, release, nearest(release, names))
	}
	var e registryEntry
	if err := node.Decode(&e); err != nil {
		return PretrainedSAE{}, fmt.Errorf("hub: SAELens's registry: release %s: %w", release, err)
	}
	at := slices.IndexFunc(e.SAEs, func(s registrySAE) bool { return s.ID == id })
	if at < 0 {
		var ids []string
		for _, s := range e.SAEs {
			ids = append(ids, s.ID)
		}
		return PretrainedSAE{}, fmt.Errorf("hub: %w: release %s of SAELens's registry has no SAE %q%s", ErrNotFound, release, id, nearest(id, ids))
	}
	p := PretrainedSAE{Release: release, ID: id, Repo: e.Repo, Path: e.SAEs[at].Path, Model: e.Model, Scale: e.SAEs[at].Scale, Overrides: e.Overrides}
	if e.Loader != nil {
		p.Loader = *e.Loader
	}
	if _, err := parseRef(p.Repo); err != nil {
		return PretrainedSAE{}, fmt.Errorf("hub: SAELens's registry: release %s: %w", release, err)
	}
	if err := checkPath(p.Path); err != nil {
		return PretrainedSAE{}, fmt.Errorf("hub: SAELens's registry: SAE %s of %s: the path %q %w", id, release, p.Path, err)
	}
	return p, nil
}

func nearest(name string, known []string) string {
	if near, ok := config.Nearest(name, known); ok {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	slices.Sort(known)
	if len(known) > 8 {
		known = append(known[:8], "...")
	}
	return "; there are " + strings.Join(known, ", ")
}

// registryBytes reads the registry, and fetches it first where it is not on this machine.
func registryBytes(ctx context.Context, opt Options) ([]byte, error) {
	place := os.Getenv(RegistryVar)
	fetch := place == ""
	if fetch {
		home, err := backend.Home()
		if err != nil {
			return nil, err
		}
		place = filepath.Join(home, "registries", saelensRegistry)
	}
	raw, err := readLimited(place)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || !fetch {
		if err != nil {
			err = fmt.Errorf("hub: SAELens's registry: %w", err)
		}
		return raw, err
	}
	if opt.Offline || offlineEnv() {
		return nil, fmt.Errorf("hub: %w: SAELens's registry is not on this machine and the network is off; put its %s at %s, or name the repository: hf:org/name/folder", ErrNotFound, saelensRegistry, place)
	}
	if err := fetchRegistry(ctx, registrySource(opt), place); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("hub: %w: SAELens's registry cannot be fetched: %w; put its %s at %s, or name the repository: hf:org/name/folder", ErrNotFound, err, saelensRegistry, place)
	}
	return readLimited(place)
}

func registrySource(opt Options) string {
	if opt.registry != "" {
		return opt.registry
	}
	return saelensSource
}

// readLimited reads a registry file.
func readLimited(place string) ([]byte, error) {
	f, err := os.Open(place)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxRegistry+1))
	if err == nil && len(raw) > maxRegistry {
		err = fmt.Errorf("%s is larger than %d bytes", place, maxRegistry)
	}
	return raw, err
}

// fetchRegistry writes what source serves to place, whole or not at all.
func fetchRegistry(ctx context.Context, source, place string) error {
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", source, resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxRegistry+1))
	if err != nil {
		return err
	}
	if len(raw) > maxRegistry || resp.ContentLength >= 0 && int64(len(raw)) != resp.ContentLength {
		return fmt.Errorf("%s gave %d bytes of %d; at most %d are taken", source, len(raw), resp.ContentLength, maxRegistry)
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(place, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(raw))
		return err
	})
}
