package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"loupe/internal/backend"
)

// ErrNotFound says that a model is neither here nor to be had.
var ErrNotFound = errors.New("model not found")

// Options say how Resolve looks for a model.
type Options struct {
	Offline bool   // never use the network; also on when HF_HUB_OFFLINE is 1 or true
	Cache   string // "": CacheDir

	download downloader // nil: the hub
	registry string     // "": SAELens's source
}

// downloader fetches what is missing of r into the cache folder.
type downloader func(ctx context.Context, cache string, r ref) error

// defaultPlace is the place, in loupe's cache folder, of a model that `loupe setup` installs.
func defaultPlace(name string) (place string, ok bool) {
	switch name {
	case "minilm":
		return "models/minilm", true
	case "smollm2":
		return "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", true
	}
	return "", false
}

// Resolve returns the absolute path of the model that name stands for (see the package): a Hugging Face folder or a file. A default name wins over
// a folder of the same name in the working folder; write ./minilm for that one. The error wraps ErrNotFound or ErrRef.
func Resolve(ctx context.Context, name string, opt Options) (string, error) {
	if s, ok := strings.CutPrefix(name, "hf:"); ok {
		r, err := parseRef(s)
		if err != nil {
			return "", err
		}
		return resolveHub(ctx, r, opt)
	}
	if place, ok := defaultPlace(name); ok {
		home, err := backend.Home()
		if err != nil {
			return "", err
		}
		return local(filepath.Join(home, filepath.FromSlash(place)), "run `loupe setup`")
	}
	return local(name, "give a model folder, a .gguf file, hf:org/name, minilm or smollm2")
}

// local accepts an existing folder or .gguf file.
func local(path, cure string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("hub: %w: there is no %s; %s", ErrNotFound, path, cure)
	case err != nil:
		return "", fmt.Errorf("hub: %w; %s", err, cure)
	case !info.IsDir() && !strings.EqualFold(filepath.Ext(path), ".gguf"):
		return "", fmt.Errorf("hub: %w: %s is neither a folder nor a .gguf file; %s", ErrNotFound, path, cure)
	}
	return filepath.Abs(path)
}

func resolveHub(ctx context.Context, r ref, opt Options) (string, error) {
	cache := opt.Cache
	if cache == "" {
		var err error
		if cache, err = CacheDir(); err != nil {
			return "", err
		}
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return "", fmt.Errorf("hub: %w", err)
	}
	path, err := lookup(cache, r)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, errAbsent) {
		return "", fmt.Errorf("hub: %s in %s: %w", r, cache, err)
	}
	if opt.Offline || offlineEnv() {
		return "", fmt.Errorf("hub: %w: %s: %w (%s), and the network is off; download it once without offline mode, or give a local folder", ErrNotFound, r, err, cache)
	}
	fetch := opt.download
	if fetch == nil {
		fetch = download
	}
	if err := fetch(ctx, cache, r); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("hub: %w: %s: %w; check the name and the network, set HF_TOKEN for a gated model, or give a local folder", ErrNotFound, r, err)
	}
	path, err = lookup(cache, r)
	if err != nil {
		return "", fmt.Errorf("hub: %w: %s: after the download: %w; the repository has no safetensors weights, or the download was cut: run it again", ErrNotFound, r, err)
	}
	return path, nil
}

// offlineEnv reads the switch of the Python library.
func offlineEnv() bool {
	switch strings.ToLower(os.Getenv("HF_HUB_OFFLINE")) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}
