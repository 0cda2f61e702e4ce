package text

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gomlx/go-huggingface/hub"
)

// hubSource is a Hugging Face data set in the local cache. Missing files are downloaded when the corpus is first read,
// unless it is offline.
type hubSource struct {
	cfg CorpusConfig
	ref hubRef
}

func openHub(cfg CorpusConfig) (source, error) {
	ref, err := parseHubRef(cfg.Path)
	return &hubSource{cfg: cfg, ref: ref}, err
}

// hubRef is a parsed hf:datasets/org/name@revision#pattern.
type hubRef struct{ id, revision, pattern string }

var refRE = regexp.MustCompile(`^hf:datasets/([A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)(?:@([\w./-]+))?(?:#(.+))?$`)

// parseHubRef parses a data set's name. The revision is a branch, tag or commit (default main); the pattern chooses
// files by path.Match on the whole path or on the file name (default: every Parquet, JSONL and CSV file).
func parseHubRef(s string) (hubRef, error) {
	m := refRE.FindStringSubmatch(s)
	if m == nil {
		return hubRef{}, fmt.Errorf("text: %q is no data set; write hf:datasets/ORG/NAME@REVISION#PATTERN, the last two optional", s)
	}
	ref := hubRef{id: m[1], revision: m[2], pattern: m[3]}
	if ref.revision == "" {
		ref.revision = "main"
	}
	if !fs.ValidPath(ref.revision) || ref.revision == "." {
		return hubRef{}, fmt.Errorf("text: %q: the revision %q is not valid; use a branch, tag or commit", s, ref.revision)
	}
	if _, err := path.Match(ref.pattern, ""); err != nil {
		return hubRef{}, fmt.Errorf("text: %q: pattern %q: %w", s, ref.pattern, err)
	}
	return ref, nil
}

// wants tells whether the file is part of the data set.
func (r hubRef) wants(name string) bool {
	if r.pattern == "" {
		return slices.Contains([]string{".parquet", ".jsonl", ".csv"}, path.Ext(name))
	}
	whole, _ := path.Match(r.pattern, name)
	base, _ := path.Match(r.pattern, path.Base(name))
	return whole || base
}

func (s *hubSource) name() string { return s.cfg.Path }

func (s *hubSource) each(ctx context.Context, emit emit) error {
	ref := s.ref
	list, err := ref.cached()
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no file of it is in the cache: %w", fs.ErrNotExist)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if s.cfg.Offline {
			return fmt.Errorf("text: %s: %w; set offline: false, or download it with `hf download --repo-type dataset %s`", s.cfg.Path, err, ref.id)
		}
		list, err = ref.download(ctx)
	}
	if err != nil {
		return fmt.Errorf("text: %s: %w", s.cfg.Path, err)
	}
	out := &files{title: s.cfg.Path}
	for _, f := range list {
		out.list = append(out.list, file{
			name: f.name,
			open: func() (*os.File, error) { return os.Open(f.path) },
			read: s.cfg.byExtension(f.name),
		})
	}
	return out.each(ctx, emit)
}

// hubFile is a file of a data set: its name there and its place here.
type hubFile struct{ name, path string }

// cacheDir is the folder of the Hugging Face cache, found as its Python library finds it.
func cacheDir() (string, error) {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub"), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface", "hub"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the Hugging Face cache: %w; set HF_HUB_CACHE", err)
	}
	return filepath.Join(home, ".cache", "huggingface", "hub"), nil
}

// cached lists the wanted files of the snapshot in the cache, sorted by name.
func (r hubRef) cached() ([]hubFile, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	repo := filepath.Join(cache, "datasets--"+strings.ReplaceAll(r.id, "/", "--"))
	commit := r.revision
	if b, err := os.ReadFile(filepath.Join(repo, "refs", filepath.FromSlash(r.revision))); err == nil {
		commit = strings.TrimSpace(string(b))
	}
	if !fs.ValidPath(commit) {
		return nil, fmt.Errorf("the cache names the commit %q for revision %s, which is not valid; remove %s", commit, r.revision, repo)
	}
	snapshot := filepath.Join(repo, "snapshots", filepath.FromSlash(commit))
	var out []hubFile
	err = filepath.WalkDir(snapshot, func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(snapshot, p)
		if name := filepath.ToSlash(rel); err == nil && r.wants(name) {
			out = append(out, hubFile{name: name, path: p})
		}
		return err
	})
	slices.SortFunc(out, func(a, b hubFile) int { return strings.Compare(a.name, b.name) })
	return out, err
}

// download fetches the wanted files into the cache.
func (r hubRef) download(ctx context.Context) ([]hubFile, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	repo := hub.New(r.id).WithType(hub.RepoTypeDataset).WithRevision(r.revision).WithAuth(os.Getenv("HF_TOKEN")).WithCacheDir(cache)
	repo.Verbosity = 0
	var names []string
	for name, err := range repo.IterFileNames() {
		if err != nil {
			return nil, fmt.Errorf("list the files at revision %s: %w; check the name and the network, or set HF_TOKEN for a closed data set", r.revision, err)
		}
		if r.wants(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: no Parquet, JSONL or CSV file at revision %s matches; try @refs/convert/parquet or another #pattern", ErrEmpty, r.revision)
	}
	paths, err := repo.DownloadFilesCtx(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("download: %w; try again, what is complete is kept", err)
	}
	out := make([]hubFile, len(names))
	for i := range names {
		out[i] = hubFile{name: names[i], path: paths[i]}
	}
	return out, nil
}
