package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// open reads and parses the file and returns its kind.
func (l *loader) open(path string) (string, error) {
	form, err := format(path)
	if err != nil {
		return "", fmt.Errorf("config: %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("config: %w; check the path", err)
	}
	if info.IsDir() || info.Size() > maxFile {
		return "", fmt.Errorf("config: %s is a folder or has more than %d bytes; it is no configuration file", path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	l.file = filepath.Base(path)
	kind, err := l.read(data, form)
	if err != nil {
		return "", fmt.Errorf("config: %s: %w", path, err)
	}
	return kind, nil
}

// read parses the bytes of a file twice: for structure and lines, and by viper for the values.
func (l *loader) read(data []byte, form string) (kind string, err error) {
	if l.root, err = parse(data, form); err != nil {
		return "", err
	}
	if l.root.fields == nil {
		return "", errors.New("wanted `key: value` pairs at the top")
	}
	l.v.SetConfigType(form)
	if err := l.v.ReadConfig(bytes.NewReader(data)); err != nil {
		return "", err
	}
	for _, f := range l.root.fields {
		if f.key == kindKey {
			if s, ok := l.v.Get(kindKey).(string); ok && s != "" {
				return s, nil
			}
			return "", fmt.Errorf("the key %q wants the name of a kind", kindKey)
		}
	}
	return "", fmt.Errorf("the key %q is missing; add `kind: NAME` (`loupe config schema` lists the kinds)", kindKey)
}
