// Package hub finds a model on this machine and, if it must, fetches it from the model hub.
//
// A reference is one of
//
//	minilm, smollm2            the default models that `loupe setup` installs
//	path/to/folder             a Hugging Face model folder
//	path/to/file.gguf          a GGUF file
//	hf:org/name                a repository of the hub, at revision main
//	hf:org/name@rev            at a branch, tag, pull request (refs/pr/1) or commit
//	hf:org/name@rev#file       one file of it, for example a GGUF file
//
// What is in the Hugging Face cache is found without any network; the hub is asked only for what is missing there.
package hub

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrRef says that a reference cannot be read.
var ErrRef = errors.New("bad model reference")

// ref is a parsed hf: reference.
type ref struct {
	repo string // "org/name" or "name"
	rev  string
	file string // slash-separated, "" for the whole model
}

// String is the reference as the user writes it.
func (r ref) String() string {
	s := "hf:" + r.repo + "@" + r.rev
	if r.file != "" {
		s += "#" + r.file
	}
	return s
}

const forms = "write hf:org/name, hf:org/name@revision or hf:org/name@revision#file"

var repoName = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$`)

// parseRef reads what follows "hf:". Every part is checked here, because each becomes a part of a path.
func parseRef(s string) (ref, error) {
	r := ref{rev: "main"}
	rest, file, hasFile := strings.Cut(s, "#")
	repo, rev, hasRev := strings.Cut(rest, "@")
	r.repo = repo
	if !repoName.MatchString(repo) || strings.Contains(repo, "..") || strings.Contains(repo, "--") || strings.HasPrefix(repo, ".") || strings.Contains(repo, "/.") {
		return ref{}, fmt.Errorf("hub: %w: %q is not org/name; %s", ErrRef, repo, forms)
	}
	if hasRev {
		r.rev = rev
	}
	if err := checkPath(r.rev); err != nil {
		return ref{}, fmt.Errorf("hub: %w: revision %q %w; %s", ErrRef, r.rev, err, forms)
	}
	if hasFile {
		if err := checkPath(file); err != nil {
			return ref{}, fmt.Errorf("hub: %w: file %q %w; %s", ErrRef, file, err, forms)
		}
		r.file = file
	}
	return r, nil
}

var errLeaves = errors.New("is empty or leaves the folder")

// checkPath accepts a slash-separated path that stays inside its folder.
func checkPath(p string) error {
	if p == "" || strings.ContainsAny(p, "\\:\x00") || strings.HasPrefix(p, "-") || !filepath.IsLocal(filepath.FromSlash(p)) || filepath.ToSlash(filepath.Clean(filepath.FromSlash(p))) != p {
		return errLeaves
	}
	return nil
}
