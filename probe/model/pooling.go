package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// poolingModes are the keys of a sentence-transformers pooling configuration, with loupe's names; "" is not computed.
var poolingModes = []struct{ key, name string }{
	{"pooling_mode_cls_token", "cls"}, {"pooling_mode_mean_tokens", "mean"}, {"pooling_mode_max_tokens", "max"},
	{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"}, {"pooling_mode_lasttoken", "last"}, {"pooling_mode_weightedmean_tokens", ""},
}

// readPooling reads the sentence-transformers configuration of a folder, if it has one.
func readPooling(dir string) (SentencePooling, error) {
	var out SentencePooling
	path := filepath.Join(dir, "modules.json")
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil && info.Size() > maxConfigBytes {
		err = fmt.Errorf("%s has %d bytes; fetch the file again", path, info.Size())
	}
	if err != nil {
		return out, fmt.Errorf("model: %w", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return out, fmt.Errorf("model: %w", err)
	}
	var modules []struct{ Path, Type string }
	if err := json.Unmarshal(b, &modules); err != nil {
		return out, fmt.Errorf("model: %s: %w; fetch the file again", path, err)
	}
	for _, m := range modules {
		switch kind := m.Type[strings.LastIndex(m.Type, ".")+1:]; kind {
		case "Transformer":
			if m.Path != "" {
				return out, fmt.Errorf("model: %s keeps its transformer in the folder %q; copy that folder's files beside modules.json", path, m.Path)
			}
		case "Normalize":
			out.Normalize = true
		case "Pooling":
			if !filepath.IsLocal(m.Path) {
				return out, fmt.Errorf("model: %s: module path %q leaves the folder; do not use this model", path, m.Path)
			}
			if out.Mode, err = readPoolingMode(filepath.Join(dir, m.Path, "config.json")); err != nil {
				return out, err
			}
		default:
			return out, fmt.Errorf("model: %s: sentence-transformers module %q is not supported (Transformer, Pooling and Normalize are); use another model", path, kind)
		}
	}
	return out, nil
}

// readPoolingMode reads the one mode that a pooling module's configuration turns on: by a flag each, or by one string.
func readPoolingMode(path string) (string, error) {
	c, err := readConfig(path)
	if err != nil {
		return "", err
	}
	var on []string
	one := c.string("", "pooling_mode")
	for _, m := range poolingModes {
		if c.bool(false, m.key) || one != "" && (one == m.name || m.key == "pooling_mode_"+one) {
			on = append(on, m.name)
		}
	}
	switch {
	case c.err != nil:
		return "", c.err
	case len(on) != 1 || on[0] == "":
		return "", fmt.Errorf("model: %s: pooling other than by exactly one of cls, mean, max, mean_sqrt_len and last token is not supported; use another model", path)
	}
	return on[0], nil
}
