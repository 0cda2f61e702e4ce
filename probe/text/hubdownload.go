package text

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	hfhub "github.com/gomlx/go-huggingface/hub"

	"loupe/internal/hub"
)

// offlineEnv reads the switch of the Hugging Face libraries.
func offlineEnv() bool {
	return slices.Contains([]string{"1", "true", "yes", "on"}, strings.ToLower(os.Getenv("HF_HUB_OFFLINE")))
}

// download fetches the wanted files into the cache. The library takes a cut download for a whole one, so sizes and
// the digests of large files are checked here; refs/<revision>, which it does not write, comes last.
func (r hubRef) download(ctx context.Context) error {
	cache, err := hub.CacheDir()
	if err != nil {
		return err
	}
	repo := hfhub.New(r.id).WithType(hfhub.RepoTypeDataset).WithRevision(url.PathEscape(r.revision)).WithAuth(os.Getenv("HF_TOKEN")).WithCacheDir(cache)
	repo.Verbosity = 0
	if err := repo.DownloadInfo(true); err != nil {
		return fmt.Errorf("list the files at revision %s: %w; check the name and the network, or set HF_TOKEN for a closed data set", r.revision, err)
	}
	wanted := map[string]*hfhub.FileInfo{}
	for f, err := range repo.IterFileInfos() {
		if err != nil {
			return err
		}
		if !fs.ValidPath(f.Name) {
			return fmt.Errorf("the hub lists a file %q, which is no path; report it to the owner of the data set", f.Name)
		}
		if r.wants(f.Name) {
			wanted[f.Name] = f
		}
	}
	if len(wanted) == 0 {
		return fmt.Errorf("%w: no Parquet, JSONL or CSV file at revision %s matches; try @refs/convert/parquet or another #pattern", ErrEmpty, r.revision)
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if err := fetch(ctx, repo, wanted[name]); err != nil {
			return fmt.Errorf("download %s: %w; try again, what is complete is kept", name, err)
		}
	}
	return r.writeRef(repo.Info().CommitHash)
}

// fetch downloads one file and verifies it.
func fetch(ctx context.Context, repo *hfhub.Repo, info *hfhub.FileInfo) error {
	dir, err := repo.CacheDir()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "snapshots", repo.Info().CommitHash, filepath.FromSlash(info.Name))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // a link without its target
			return err
		}
	}
	if _, err := repo.DownloadFilesCtx(ctx, info.Name); err != nil {
		return err
	}
	return verify(path, info)
}

// verify compares a downloaded file with what the hub says of it. A wrong one is removed, with the blob that it links to.
func verify(path string, info *hfhub.FileInfo) error {
	blob, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	f, err := os.Open(blob)
	if err != nil {
		return err
	}
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	want, digest := info.Size, ""
	if info.LFS != nil {
		want, digest = info.LFS.Size, info.LFS.SHA256
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); (want == 0 || size == want) && (digest == "" || sum == digest) {
		return nil
	}
	return errors.Join(fmt.Errorf("%d bytes arrived, the hub says %d", size, want), os.Remove(path), os.Remove(blob))
}

// writeRef notes the commit of a branch or tag, as the Python library does.
func (r hubRef) writeRef(commit string) error {
	folder, err := r.folder()
	if err != nil || r.revision == commit {
		return err
	}
	path := filepath.Join(folder, "refs", filepath.FromSlash(r.revision))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(commit), 0o644)
}
