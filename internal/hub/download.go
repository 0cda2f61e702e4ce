package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	hfhub "github.com/gomlx/go-huggingface/hub"
)

// maxFiles bounds the files of one repository that a download looks at.
const maxFiles = 100_000

// download fetches r by go-huggingface into the cache folder. It closes three gaps of the library: a cut download that it takes for a
// whole one (sizes and the digests of large files are checked here), the missing refs/<rev>, and calls that ignore the context.
func download(ctx context.Context, cache string, r ref) error {
	done := make(chan error, 1)
	go func() { done <- downloadAll(ctx, cache, r) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		return err
	}
}

func downloadAll(ctx context.Context, cache string, r ref) error {
	repo := hfhub.New(r.repo).WithRevision(r.rev).WithCacheDir(cache).WithAuth(os.Getenv("HF_TOKEN")).WithProgressBar(false)
	repo.Verbosity = 0
	if err := repo.DownloadInfo(true); err != nil {
		return err
	}
	commit := repo.Info().CommitHash
	if !commitHash.MatchString(commit) {
		return fmt.Errorf("the hub says %q for the commit of %s", commit, r)
	}
	files := map[string]*hfhub.FileInfo{}
	for info, err := range repo.IterFileInfos() {
		if err != nil {
			return err
		}
		if len(files) == maxFiles {
			return fmt.Errorf("%s has more than %d files", r, maxFiles)
		}
		if checkPath(info.Name) != nil {
			return fmt.Errorf("the hub lists a file %q that leaves the folder", info.Name)
		}
		files[info.Name] = info
	}
	dir := filepath.Join(repoDir(cache, r), "snapshots", commit)
	for _, name := range choose(files, r.file) {
		if err := dropDangling(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
		if _, err := repo.DownloadFilesCtx(ctx, name); err != nil {
			return err
		}
		if err := verify(ctx, filepath.Join(dir, filepath.FromSlash(name)), files[name]); err != nil {
			return err
		}
	}
	return writeRef(repoDir(cache, r), r.rev, commit)
}

// choose lists the files to fetch: the one asked for, or all that a model folder consists of. The configuration comes last, so that a folder with
// one is whole.
func choose(files map[string]*hfhub.FileInfo, file string) []string {
	if file != "" {
		return []string{file}
	}
	var list []string
	for name := range files {
		if name != "config.json" && wanted(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	if files["config.json"] != nil {
		list = append(list, "config.json")
	}
	return list
}

// wanted keeps configurations, vocabularies and safetensors; folders of other runtimes and weights in other formats are left out.
func wanted(name string) bool {
	switch path.Ext(name) {
	case ".json", ".txt", ".model", ".jinja", ".safetensors":
	default:
		return false
	}
	top, _, _ := strings.Cut(name, "/")
	switch top {
	case "onnx", "openvino", "coreml", "original", "checkpoints":
		return false
	}
	return true
}

// dropDangling removes a link whose blob does not exist; the library would take it for a downloaded file or fail on it.
func dropDangling(name string) error {
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// verify compares a downloaded file with what the hub says about it; a wrong one is removed with its blob.
func verify(ctx context.Context, name string, info *hfhub.FileInfo) error {
	if info == nil {
		return nil
	}
	blob, err := filepath.EvalSymlinks(name)
	if err != nil {
		return fmt.Errorf("%s did not arrive: %w", info.Name, err)
	}
	size, sum, err := digest(ctx, blob)
	if err != nil {
		return err
	}
	wantSize, wantSum := info.Size, ""
	if info.LFS != nil {
		wantSize, wantSum = info.LFS.Size, info.LFS.SHA256
	}
	if (wantSize == 0 || size == wantSize) && (wantSum == "" || sum == wantSum) {
		return nil
	}
	return errors.Join(
		fmt.Errorf("%s arrived with %d bytes (SHA-256 %.12s), the hub says %d (%.12s): run it again", info.Name, size, sum, wantSize, wantSum),
		os.Remove(name), os.Remove(blob))
}

func digest(ctx context.Context, name string) (int64, string, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	hash := sha256.New()
	n, err := io.Copy(hash, f)
	return n, hex.EncodeToString(hash.Sum(nil)), err
}

// writeRef records the commit of a branch or tag, as the Python library does.
func writeRef(repo, rev, commit string) error {
	if rev == commit {
		return nil
	}
	name := filepath.Join(repo, "refs", filepath.FromSlash(rev))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".ref-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(commit)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
