package run

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Spec describes a run.
type Spec struct {
	Root       string // folder that holds the run folders
	Name       string // lower-case letters, digits, '.', '_' and '-'
	Kind       string // kind of its configuration
	Command    []string
	Seed       uint64
	Config     []byte // resolved configuration, YAML
	ConfigHash string // SHA-256 of it, 64 hex digits
	Env        Env
	Log        slog.Handler // where log records go besides log.jsonl; nil for nowhere else
}

var (
	nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	hashRE = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (s Spec) validate() error {
	switch {
	case !nameRE.MatchString(s.Name) || len(s.Name) > 100:
		return fmt.Errorf("run: name %q: wanted at most 100 lower-case letters, digits, '.', '_' and '-', starting with a letter or digit", s.Name)
	case !hashRE.MatchString(s.ConfigHash):
		return fmt.Errorf("run: configuration hash %q: wanted 64 hex digits", s.ConfigHash)
	case s.Kind == "" || s.Root == "":
		return errors.New("run: a run needs a kind and a root folder")
	}
	return nil
}

// base is the folder's name without its number.
func (s Spec) base() string { return s.Name + "-" + s.ConfigHash[:8] }

// Dir is a run folder that this process works in. Its methods may be called from several goroutines.
type Dir struct {
	path   string
	disk   disk
	lock   *lock
	log    *slog.Logger
	record Record
	env    environment

	mu      sync.Mutex
	logFile file
	metrics metrics
	broken  error // the first failed write
	closed  bool
}

// Create makes a new run folder: <name>-<hash8>, or the first free <name>-<hash8>-<n>.
func Create(s Spec) (*Dir, error) { return create(s, osDisk{}) }

func create(s Spec, d disk) (*Dir, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	path, err := claim(filepath.Join(s.Root, s.base()))
	if err != nil {
		return nil, err
	}
	r := &Dir{path: path, disk: d, record: Record{
		Format: Format, Name: s.Name, Kind: s.Kind, Command: s.Command, Seed: s.Seed, ConfigHash: s.ConfigHash,
		Parents: []Ref{}, Outputs: []Output{},
	}}
	if r.lock, err = acquire(path); err != nil {
		return nil, err
	}
	err = errors.Join(
		writeFile(d, r.File("STATUS"), text(string(Running)+"\n")),
		writeFile(d, r.File("config.yaml"), text(string(s.Config))),
		writeFile(d, r.File("run.json"), jsonWriter(r.record)),
		r.begin(s),
		syncDir(s.Root),
	)
	if err != nil {
		return nil, r.Fail(err)
	}
	return r, nil
}

// claim makes the first free folder of base, base-2, base-3, ... exclusively.
func claim(base string) (string, error) {
	path := base
	for n := 2; ; n++ {
		err := os.Mkdir(path, 0o755)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("run: %w", err)
		}
		path = fmt.Sprintf("%s-%d", base, n)
	}
}

// begin opens the log and the metrics and adds this process to env.json.
func (d *Dir) begin(s Spec) error {
	ses, err := newSession(s.Env)
	if err != nil {
		return err
	}
	d.env.Sessions = append(d.env.Sessions, ses)
	if err := writeFile(d.disk, d.File("env.json"), jsonWriter(d.env)); err != nil {
		return err
	}
	if d.logFile, err = d.disk.appendTo(d.File("log.jsonl")); err != nil {
		return fmt.Errorf("run: open the log: %w", err)
	}
	d.log = newLogger(logWriter{d}, s.Log)
	return d.metrics.open(d.disk, d.File("metrics.jsonl"))
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// Path is the folder.
func (d *Dir) Path() string { return d.path }

// File is the path of a file in the folder.
func (d *Dir) File(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// Log is the run's logger: it writes to log.jsonl and to the handler of the Spec.
func (d *Dir) Log() *slog.Logger { return d.log }

// Seed is the run's seed.
func (d *Dir) Seed() uint64 { return d.record.Seed }

// own are the files of the folder that only this package writes.
var own = map[string]bool{"run.json": true, "config.yaml": true, "env.json": true, "metrics.jsonl": true, "log.jsonl": true, "STATUS": true, "lock": true}

// Write writes a file of the folder atomically and makes the folders above it. rel is its place, such as
// tables/scores.arrow.
func (d *Dir) Write(rel string, write func(io.Writer) error) error {
	if !filepath.IsLocal(rel) || own[filepath.Clean(rel)] || strings.HasPrefix(filepath.Base(rel), tmpPrefix) {
		return fmt.Errorf("run: %q is no place for an output; give a path inside the folder that is not one of the run's own files", rel)
	}
	path := d.File(rel)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return d.fault(fmt.Errorf("run: %w", err))
	}
	return d.fault(writeFile(d.disk, path, write))
}

// AddParent records something that the run reads.
func (d *Dir) AddParent(p Ref) error {
	if !hashRE.MatchString(p.Digest) {
		return fmt.Errorf("run: parent %s %s: digest %q is not a SHA-256 in hex", p.Kind, p.Name, p.Digest)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, old := range d.record.Parents {
		if old == p {
			return nil // a resumed run adds its parents again
		}
	}
	d.record.Parents = append(d.record.Parents, p)
	return d.faultLocked(writeFile(d.disk, d.File("run.json"), jsonWriter(d.record)))
}

// fault remembers the first failed write and marks the run as failed at once: the process may not live to do it later.
func (d *Dir) fault(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faultLocked(err)
}

func (d *Dir) faultLocked(err error) error {
	if err != nil && d.broken == nil {
		d.broken = err
		return errors.Join(err, d.setStatus(Failed))
	}
	return err
}

// setStatus replaces STATUS; where the disk is full it overwrites the old one.
func (d *Dir) setStatus(s Status) error {
	path := d.File("STATUS")
	if err := writeFile(d.disk, path, text(string(s)+"\n")); err != nil {
		if overwrite(path, string(s)+"\n") != nil {
			return err
		}
	}
	return nil
}

// end closes what is open and completes env.json.
func (d *Dir) end(removeLock bool) error {
	d.closed = true
	var errs []error
	if n := len(d.env.Sessions); n > 0 {
		now := time.Now().UTC().Truncate(time.Second)
		d.env.Sessions[n-1].Ended = &now
		errs = append(errs, writeFile(d.disk, d.File("env.json"), jsonWriter(d.env)))
	}
	errs = append(errs, d.metrics.close())
	if d.logFile != nil {
		errs = append(errs, d.logFile.Close())
	}
	return errors.Join(append(errs, d.lock.release(removeLock))...)
}
