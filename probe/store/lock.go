package store

import (
	"fmt"
	"os"
	"syscall"
)

// lockDir keeps a second writer out of the folder. The lock goes when the file is closed or the process ends, however
// it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("store: %s is being written by another process (%w); wait for it to end", dir, err)
	}
	return f, nil
}
