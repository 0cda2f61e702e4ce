//go:build unix

package setup

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FreeSpace returns the bytes that this user may still write in dir, or in its nearest existing parent.
func FreeSpace(dir string) (uint64, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return uint64(st.Bavail) * uint64(st.Bsize), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir || !os.IsNotExist(err) {
			return 0, err
		}
		dir = parent
	}
}
