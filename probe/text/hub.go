package text

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"loupe/internal/hub"
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
	if errors.Is(err, fs.ErrNotExist) {
		if s.cfg.Offline || offlineEnv() {
			return fmt.Errorf("text: %s: %w; set offline: false and unset HF_HUB_OFFLINE, or run `hf download --repo-type dataset %s`", s.cfg.Path, err, ref.id)
		}
		if err := ref.download(ctx); err != nil {
			return fmt.Errorf("text: %s: %w", s.cfg.Path, err)
		}
		list, err = ref.cached()
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

// folder is the data set's folder in the Hugging Face cache.
func (r hubRef) folder() (string, error) {
	cache, err := hub.CacheDir()
	return filepath.Join(cache, "datasets--"+strings.ReplaceAll(r.id, "/", "--")), err
}

// cached lists the wanted files of the snapshot in the cache, sorted by name. The error wraps fs.ErrNotExist when a
// download can help: no snapshot, or one that lacks a file which the hub's own list, if it is there, names.
func (r hubRef) cached() ([]hubFile, error) {
	repo, err := r.folder()
	if err != nil {
		return nil, err
	}
	commit := r.revision
	if b, err := os.ReadFile(filepath.Join(repo, "refs", filepath.FromSlash(r.revision))); err == nil {
		commit = strings.TrimSpace(string(b))
	}
	if !fs.ValidPath(commit) {
		return nil, fmt.Errorf("the cache names the commit %q for revision %s, which is not valid; remove %s", commit, r.revision, repo)
	}
	snapshot := filepath.Join(repo, "snapshots", filepath.FromSlash(commit))
	var out []hubFile
	if err := filepath.WalkDir(snapshot, func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(snapshot, p)
		name := filepath.ToSlash(rel)
		if err != nil || !r.wants(name) {
			return err
		}
		if _, err := os.Stat(p); err != nil { // a link whose target never arrived
			return fmt.Errorf("the cache lacks %s: %w", name, err)
		}
		out = append(out, hubFile{name: name, path: p})
		return nil
	}); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no file of it is in the cache: %w", fs.ErrNotExist)
	}
	slices.SortFunc(out, func(a, b hubFile) int { return strings.Compare(a.name, b.name) })
	for _, name := range r.listed(repo, commit) {
		if !slices.ContainsFunc(out, func(f hubFile) bool { return f.name == name }) {
			return nil, fmt.Errorf("the cache lacks %s: %w", name, fs.ErrNotExist)
		}
	}
	return out, nil
}

// listed returns the wanted files of the commit by the list that a download leaves in the cache; nil without one.
func (r hubRef) listed(repo, commit string) []string {
	b, err := os.ReadFile(filepath.Join(repo, "info", url.PathEscape(r.revision)))
	if err != nil {
		return nil
	}
	var info struct {
		Commit string `json:"sha"`
		Files  []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if json.Unmarshal(b, &info) != nil || info.Commit != commit {
		return nil
	}
	var names []string
	for _, f := range info.Files {
		if r.wants(f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}
