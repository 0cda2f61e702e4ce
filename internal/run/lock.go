package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

const (
	heartbeatEvery = 10 * time.Second
	// staleAfter is the age of a heartbeat after which a run on another host counts as killed.
	staleAfter = 60 * time.Second
)

// ErrAlive is returned when another process is at work in the folder.
var ErrAlive = errors.New("the run is still going")

// Holder is who works, or last worked, in a run folder.
type Holder struct {
	PID       int       `json:"pid"`
	Host      string    `json:"host"`
	Heartbeat time.Time `json:"heartbeat"`
}

// lock is a held lock. The operating system drops its file lock when the process ends, however it ends; the
// heartbeat serves other hosts, which the file lock of a network disk may not reach.
type lock struct {
	file *flock.Flock
	path string
	me   Holder
	stop chan struct{}
	done chan struct{}
}

// acquire takes the lock of a run folder, or returns ErrAlive.
func acquire(dir string) (*lock, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("run: lock %s: %w", dir, err)
	}
	l := &lock{path: filepath.Join(dir, "lock"), me: Holder{PID: os.Getpid(), Host: host}, stop: make(chan struct{}), done: make(chan struct{})}
	l.file = flock.New(l.path)
	held, err := tryLock(l.file)
	if err != nil {
		return nil, fmt.Errorf("run: lock %s: %w", dir, err)
	}
	last, known := readHolder(l.path)
	if !held || (known && last.Host != host && time.Since(last.Heartbeat) < staleAfter) {
		return nil, errors.Join(fmt.Errorf("run: %s: %w (pid %d on %s, heartbeat %s); wait for it or stop it",
			dir, ErrAlive, last.PID, last.Host, last.Heartbeat.Format(time.RFC3339)), l.file.Close())
	}
	if err := l.beat(); err != nil {
		return nil, errors.Join(fmt.Errorf("run: lock %s: %w", dir, err), l.file.Close())
	}
	go l.heart()
	return l, nil
}

// tryLock tries for a short while, since [Read] holds a shared lock for a moment.
func tryLock(f *flock.Flock) (bool, error) {
	for i := 0; ; i++ {
		held, err := f.TryLock()
		if held || err != nil || i == 5 {
			return held, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// beat writes the holder into the lock file, in place: the file lock belongs to this very file.
func (l *lock) beat() error {
	h := l.me
	h.Heartbeat = time.Now().UTC().Truncate(time.Second)
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return overwrite(l.path, string(text)+"\n")
}

func (l *lock) heart() {
	defer close(l.done)
	t := time.NewTicker(heartbeatEvery)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			// A missed beat harms no one on this host, and a full disk shows in the next real write.
			_ = l.beat()
		}
	}
}

// release stops the heartbeat and drops the lock; remove deletes its file too.
func (l *lock) release(remove bool) error {
	close(l.stop)
	<-l.done
	var err error
	if remove {
		err = os.Remove(l.path)
	}
	return errors.Join(err, l.file.Close())
}

func readHolder(path string) (Holder, bool) {
	var h Holder
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{}, false
	}
	return h, true
}

// alive tells whether a process is at work in the folder.
func alive(dir string) (Holder, bool, error) {
	path := filepath.Join(dir, "lock")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return Holder{}, false, nil
	}
	h, _ := readHolder(path) // unknown while it is being written: its heartbeat is then zero, and old
	f := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := f.TryRLock()
	if err != nil {
		return h, false, fmt.Errorf("run: lock of %s: %w", dir, err)
	}
	if err := f.Close(); err != nil {
		return h, false, fmt.Errorf("run: lock of %s: %w", dir, err)
	}
	host, err := os.Hostname()
	if err != nil {
		return h, false, fmt.Errorf("run: lock of %s: %w", dir, err)
	}
	return h, !free || (h.Host != host && time.Since(h.Heartbeat) < staleAfter), nil
}
