package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// CacheDir is the Hugging Face cache that the Python library would use: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, else
// huggingface/hub below XDG_CACHE_HOME or ~/.cache.
func CacheDir() (string, error) {
	for _, v := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if dir := os.Getenv(v); dir != "" {
			return dir, nil
		}
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub"), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface", "hub"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("hub: no cache folder: %w; set HF_HUB_CACHE", err)
	}
	return filepath.Join(home, ".cache", "huggingface", "hub"), nil
}

// errAbsent says that the cache lacks something that the hub may have.
var errAbsent = errors.New("not in the cache")

var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// lookup returns the path of r in the cache folder without network. The error wraps errAbsent when a download can help.
func lookup(cache string, r ref) (string, error) {
	repo := repoDir(cache, r)
	commit, err := commitOf(repo, r.rev)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(repo, "snapshots", commit)
	if r.file != "" {
		file := filepath.Join(dir, filepath.FromSlash(r.file))
		return file, present(file)
	}
	return dir, complete(dir)
}

func repoDir(cache string, r ref) string {
	return filepath.Join(cache, "models--"+strings.ReplaceAll(r.repo, "/", "--"))
}

// commitOf reads refs/<rev>; a commit hash is its own commit.
func commitOf(repo, rev string) (string, error) {
	if commitHash.MatchString(rev) {
		return rev, nil
	}
	name := filepath.Join(repo, "refs", filepath.FromSlash(rev))
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("revision %s: %w", rev, errAbsent)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(data))
	if !commitHash.MatchString(commit) {
		return "", fmt.Errorf("%s holds %q, not a commit; delete that file", name, commit)
	}
	return commit, nil
}

// present tells whether file can be read: a link whose blob never arrived is absent.
func present(file string) error {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Base(file), errAbsent)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", file)
	}
	return err
}

const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// complete tells whether the folder holds a configuration and all shards of its weights.
func complete(dir string) error {
	if err := present(filepath.Join(dir, "config.json")); err != nil {
		return err
	}
	if err := present(filepath.Join(dir, singleFile)); !errors.Is(err, errAbsent) {
		return err
	}
	shards, err := shardsOf(filepath.Join(dir, indexFile))
	if errors.Is(err, errAbsent) {
		return fmt.Errorf("%s or %s: %w", singleFile, indexFile, errAbsent)
	}
	if err != nil {
		return err
	}
	for _, shard := range shards {
		if err := present(filepath.Join(dir, filepath.FromSlash(shard))); err != nil {
			return err
		}
	}
	return nil
}

// maxIndex bounds the bytes of a shard index.
const maxIndex = 64 << 20

// shardsOf lists the shard files of an index, sorted. A name that leaves the folder is an error.
func shardsOf(index string) ([]string, error) {
	f, err := os.Open(index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", filepath.Base(index), errAbsent)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxIndex {
		return nil, fmt.Errorf("%s is larger than %d bytes", index, maxIndex)
	}
	var parsed struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &parsed); err != nil {
		return nil, fmt.Errorf("%s: %w", index, err)
	}
	if len(parsed.WeightMap) == 0 {
		return nil, fmt.Errorf("%s has no weight_map", index)
	}
	var shards []string
	for tensor, shard := range parsed.WeightMap {
		if err := checkPath(shard); err != nil {
			return nil, fmt.Errorf("%s: the shard %q of tensor %s %w", index, shard, tensor, err)
		}
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	return slices.Compact(shards), nil
}
