//go:build !unix

package setup

import "errors"

// FreeSpace is not known on this operating system.
func FreeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
