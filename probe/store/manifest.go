package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"loupe/internal/atomicfile"
)

const (
	// FormatVersion is the version of the folder's format.
	FormatVersion = 1

	manifestName    = "manifest.json"
	maxManifest     = 256 << 20
	defaultShard    = 64 << 20
	defaultMaxCross = 2048
	docsName        = "docs.arrow"
)

// Source names a model or a corpus by what the user called it and by the digest of its bytes.
type Source struct {
	ID     string `json:"id"`
	Digest string `json:"digest"`
}

// Policy records how text became tokens and tokens became rows.
type Policy struct {
	BOS     string `json:"bos,omitempty"`     // whether and which token was put first
	Special string `json:"special,omitempty"` // which special tokens were added, and whether their rows are kept
	Padding string `json:"padding,omitempty"` // side and buckets
	Packing string `json:"packing,omitempty"` // whether documents share a sequence
	MaxLen  int    `json:"max_len,omitempty"` // tokens of a sequence; 0 means the model's own limit
}

// Spec says what a store holds and from what. It is fixed at Create; Resume refuses another.
type Spec struct {
	Model     Source `json:"model"`
	Tokenizer string `json:"tokenizer"` // digest
	Corpus    Source `json:"corpus"`
	Sites     []Site `json:"sites"`
	Policy    Policy `json:"policy"`
	// Labels are the label columns of docs.arrow.
	Labels []string `json:"labels,omitempty"`
	// KeepText stores the documents' text; without it docs.arrow holds digests only.
	KeepText bool `json:"keep_text"`
	// ShardBytes is the size at which a shard is finished; 0 means 64 MiB.
	ShardBytes int64         `json:"shard_bytes"`
	Moments    MomentOptions `json:"moments"`
	// Config and Seeds are the capture's own, kept for the reader.
	Config json.RawMessage `json:"config,omitempty"`
	// Defaults is Config with the default values. A key that a store of an earlier version lacks counts as its default.
	Defaults json.RawMessage  `json:"-"`
	Seeds    map[string]int64 `json:"seeds,omitempty"`
}

// MomentOptions says which moments a store keeps.
type MomentOptions struct {
	// Off keeps none.
	Off bool `json:"off,omitempty"`
	// MaxCross is the greatest site width for which cross moments (d x d) are kept; 0 means 2048, -1 none.
	MaxCross int `json:"max_cross"`
	// ClassCross keeps cross moments of every class, not only its mean and variance.
	ClassCross bool `json:"class_cross,omitempty"`
}

// File is a file of the store with its digest.
type File struct {
	Path   string `json:"path"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Shard is the files of one step of writing; a table without rows in it has none.
type Shard struct {
	Token   *File `json:"token,omitempty"`
	Example *File `json:"example,omitempty"`
	Docs    *File `json:"docs,omitempty"` // only until the store is complete
}

func (s Shard) file(p Per) *File {
	if p == Example {
		return s.Example
	}
	return s.Token
}

// Manifest is manifest.json.
type Manifest struct {
	Format int `json:"format"`
	// Digest is the SHA-256 of this manifest with an empty digest: a name for the whole store.
	Digest string `json:"digest"`
	// Complete is false while the store is being written.
	Complete bool `json:"complete"`
	Spec
	// TokenBatch and ExampleBatch are the rows of every record batch but a shard's last: powers of two.
	TokenBatch   int   `json:"token_batch"`
	ExampleBatch int   `json:"example_batch"`
	Rows         int64 `json:"rows"`
	Examples     int64 `json:"examples"`
	Docs         int64 `json:"docs"`
	// RowDigest is the SHA-256 over doc (int64), pos and token (int32) of every token row, little-endian.
	RowDigest string  `json:"row_digest"`
	Shards    []Shard `json:"shards"`
	// State is what the writer's owner needs to go on after the last shard; only until the store is complete.
	State       json.RawMessage `json:"state,omitempty"`
	DocsFile    *File           `json:"docs_file,omitempty"`
	MomentFiles []File          `json:"moment_files,omitempty"`
}

// Site returns the site called name.
func (m *Manifest) Site(name string) (Site, bool) {
	for _, s := range m.Sites {
		if s.Name == name {
			return s, true
		}
	}
	return Site{}, false
}

func (m *Manifest) batchRows(p Per) int {
	if p == Example {
		return m.ExampleBatch
	}
	return m.TokenBatch
}

func (m *Manifest) rows(p Per) int64 {
	if p == Example {
		return m.Examples
	}
	return m.Rows
}

// digest is the SHA-256 of the compact JSON with an empty digest field.
func (m Manifest) digest() (string, error) {
	m.Digest = ""
	b, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func (m *Manifest) save(dir string) error {
	var err error
	if m.Digest, err = m.digest(); err != nil {
		return fmt.Errorf("store: encode manifest: %w", err)
	}
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("store: encode manifest: %w", err)
	}
	err = atomicfile.Write(filepath.Join(dir, manifestName), func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("store: write manifest: %w", err)
	}
	return nil
}

// ErrNoStore says that a folder holds no store.
var ErrNoStore = errors.New("no store here")

func loadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store: %s: %w: it has no %s; give the folder that `loupe capture` wrote", dir, ErrNoStore, manifestName)
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxManifest {
		return nil, fmt.Errorf("store: %s is no regular file of at most %d bytes", path, maxManifest)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w; restore the folder from a copy or capture it again", path, err)
	}
	return m, nil
}

// parseManifest decodes and checks a manifest: nothing in it may lead outside the folder or claim impossible sizes.
func parseManifest(b []byte) (*Manifest, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	m := &Manifest{}
	if err := dec.Decode(m); err != nil {
		if v := formatOf(b); v != FormatVersion && v != 0 {
			return nil, fmt.Errorf("format %d is not known; this loupe reads format %d", v, FormatVersion)
		}
		return nil, fmt.Errorf("not a manifest: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the manifest")
	}
	if m.Format != FormatVersion {
		return nil, fmt.Errorf("format %d is not known; this loupe reads format %d", m.Format, FormatVersion)
	}
	want, err := m.digest()
	if err != nil {
		return nil, err
	}
	if m.Digest != want {
		return nil, fmt.Errorf("its digest is %s and should be %s: it was damaged or changed by hand", m.Digest, want)
	}
	return m, m.check()
}

func formatOf(b []byte) int {
	var v struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(b, &v) != nil {
		return 0
	}
	return v.Format
}

func (s *Spec) check() error {
	if len(s.Sites) == 0 {
		return errors.New("a store needs a site")
	}
	seen := map[string]bool{}
	for _, site := range s.Sites {
		if err := site.check(); err != nil {
			return err
		}
		if seen[site.Name] {
			return fmt.Errorf("site %s is there twice", site.Name)
		}
		seen[site.Name] = true
	}
	labels := map[string]bool{}
	for _, l := range s.Labels {
		if !plainName(l) || labels[l] {
			return fmt.Errorf("label %q is there twice or has other characters than letters, digits, '.', '_' and '-'", l)
		}
		labels[l] = true
	}
	if s.ShardBytes < 1 || s.ShardBytes > 1<<40 {
		return fmt.Errorf("shard_bytes %d is out of range", s.ShardBytes)
	}
	if s.Moments.MaxCross < -1 || s.Moments.MaxCross > 1<<14 {
		return fmt.Errorf("moments.max_cross %d is out of range (-1 to %d)", s.Moments.MaxCross, 1<<14)
	}
	return nil
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (f *File) check(path string) error {
	if f.Path != path {
		return fmt.Errorf("file %q stands where %q should", f.Path, path)
	}
	if f.Rows < 0 || f.Rows > 1<<40 || f.Bytes < 0 || f.Rows > f.Bytes || !hexDigest.MatchString(f.SHA256) {
		return fmt.Errorf("file %s: %d rows in %d bytes with digest %q is not possible", f.Path, f.Rows, f.Bytes, f.SHA256)
	}
	return nil
}

func (m *Manifest) check() error {
	if err := m.Spec.check(); err != nil {
		return err
	}
	sums := map[Per]int64{}
	docs := int64(0)
	for i, s := range m.Shards {
		for _, t := range []*table{newTable(Token, m.Sites), newTable(Example, m.Sites)} {
			if f := s.file(t.per); f != nil {
				if err := f.check(t.file(i)); err != nil {
					return err
				}
				sums[t.per] += f.Rows
			}
		}
		if s.Docs != nil {
			if err := s.Docs.check(docsPart(i)); err != nil {
				return err
			}
			docs += s.Docs.Rows
		}
	}
	for _, p := range []Per{Token, Example} {
		if n := m.batchRows(p); n < 1 || n > 1<<16 || n&(n-1) != 0 {
			return fmt.Errorf("%d rows in a batch of the %s table is not a power of two up to %d", n, p, 1<<16)
		}
		if sums[p] != m.rows(p) {
			return fmt.Errorf("the shards have %d %s rows and the manifest says %d", sums[p], p, m.rows(p))
		}
	}
	if !m.Complete {
		if m.Docs != docs || m.DocsFile != nil || len(m.MomentFiles) > 0 {
			return errors.New("an incomplete store lists what only a complete one has")
		}
		return nil
	}
	if m.DocsFile == nil || docs != 0 || m.State != nil {
		return errors.New("a complete store lists what only an incomplete one has, or no docs file")
	}
	if err := m.DocsFile.check(docsName); err != nil {
		return err
	}
	if m.DocsFile.Rows != m.Docs {
		return fmt.Errorf("docs.arrow has %d rows and the manifest says %d", m.DocsFile.Rows, m.Docs)
	}
	return m.checkMoments()
}

func (m *Manifest) checkMoments() error {
	want := momentPaths(&m.Spec)
	if len(m.MomentFiles) != len(want) {
		return fmt.Errorf("%d moment files are listed and %d belong there", len(m.MomentFiles), len(want))
	}
	for i, f := range m.MomentFiles {
		if err := f.check(want[i]); err != nil {
			return err
		}
	}
	return nil
}

func docsPart(shard int) string { return fmt.Sprintf("docs/%05d.arrow", shard) }
