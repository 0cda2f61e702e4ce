package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"loupe/internal/hub"
	"loupe/sae"
)

// saeRef describes the argument that names an SAE.
const saeRef = "SAE is a folder or file of a format that loupe reads, hf:org/name[@rev]/folder for one of the model hub, or\n" +
	"saelens:RELEASE/ID for one of SAELens's registry."

// isRemote tells whether a reference is one of the model hub or of a registry.
func isRemote(ref string) bool {
	return strings.HasPrefix(ref, "hf:") || strings.HasPrefix(ref, hub.SAELensPrefix)
}

// readCoder reads the SAE, crosscoder or cross-layer transcoder that a reference names, and the name of its format.
func readCoder(ctx context.Context, ref string) (sae.Coder, string, error) {
	if !strings.HasPrefix(ref, hub.SAELensPrefix) {
		at, err := resolveSAE(ctx, ref, nil)
		if err != nil {
			return nil, "", err
		}
		return sae.ReadCoder(at)
	}
	entry, err := hub.FindSAELens(ctx, ref, hub.Options{})
	if errors.Is(err, hub.ErrRef) {
		err = usageError{err}
	}
	if err != nil {
		return nil, "", err
	}
	format, ok := saelensLoaders[entry.Loader]
	if !ok {
		return nil, "", fmt.Errorf("%s: SAELens reads it with its loader %q, which loupe has not; load it with sae-lens, save it with save_model and give that folder", ref, entry.Loader)
	}
	at, err := resolveSAE(ctx, entry.Ref(), []string{format})
	if err != nil {
		return nil, "", err
	}
	c, format, err := sae.ReadCoder(at)
	if err != nil {
		return nil, "", err
	}
	if s, ok := c.(*sae.SAE); ok {
		err = followRegistry(s, entry)
	}
	return c, format, err
}

// saelensLoaders are the formats behind SAELens's conversion functions; "" is its own.
var saelensLoaders = map[string]string{
	"": sae.FormatSAELens, "gemma_2": sae.FormatGemmaScope, "gemma_2_transcoder": sae.FormatGemmaScope, "llama_scope": sae.FormatLlamaScope,
	"dictionary_learning_1": sae.FormatDictionaryLearning, "sparsify": sae.FormatSparsify,
}

// followRegistry does what SAELens does with an entry's fields: metadata is overridden, and a known scale of the input folded.
func followRegistry(s *sae.SAE, entry hub.PretrainedSAE) error {
	if s.Metadata == nil {
		s.Metadata = map[string]any{}
	}
	if s.Metadata["model_name"] == nil && entry.Model != "" {
		s.Metadata["model_name"] = entry.Model
	}
	for key, v := range entry.Overrides {
		s.Metadata[key] = v
	}
	if s.Normalize != sae.NormalizeExpected || entry.Scale == 0 {
		return nil
	}
	if err := s.FoldScale(entry.Scale); err != nil {
		return err
	}
	s.Normalize = sae.NormalizeNone
	return nil
}

// resolveSAE returns the folder or file of an SAE: a path as it is, or hf:org/name[@rev]/folder from the hub's cache,
// or else from the hub. Only the files of the SAE's format are fetched; formats lists the names of those that it may have,
// nil for all.
func resolveSAE(ctx context.Context, ref string, formats []string) (string, error) {
	rest, isHub := strings.CutPrefix(ref, "hf:")
	if !isHub {
		return ref, nil
	}
	org, rest, _ := strings.Cut(strings.Replace(rest, "#", "/", 1), "/")
	name, inside, _ := strings.Cut(rest, "/")
	repo := "hf:" + org + "/" + name
	inside = strings.Trim(path.Clean("/"+inside), "/")
	if e := path.Ext(inside); e == ".pt" || e == ".npz" {
		return hub.Resolve(ctx, repo+"#"+inside, hub.Options{})
	}
	var tried []error
	for _, offline := range []bool{true, false} { // what is in the cache first: the network is not asked for other formats
		for _, f := range sae.Formats() {
			if formats != nil && !slices.Contains(formats, f.Name) {
				continue
			}
			dir, err := resolveFiles(ctx, repo, inside, f.Files, hub.Options{Offline: offline})
			if err == nil && dir != "" {
				return dir, nil
			}
			if err != nil && (errors.Is(err, hub.ErrRef) || ctx.Err() != nil) {
				return "", err
			}
			if err != nil && !offline {
				tried = append(tried, err)
			}
		}
	}
	return "", fmt.Errorf("%s holds no SAE that was found; name its innermost folder, as in hf:org/name/layers.3: %w", ref, errors.Join(tried...))
}

// resolveFiles finds all of files in a folder of a repository and returns the folder.
func resolveFiles(ctx context.Context, repo, inside string, files []string, opt hub.Options) (dir string, err error) {
	for _, name := range files {
		file, err := hub.Resolve(ctx, repo+"#"+path.Join(inside, name), opt)
		if err != nil {
			return "", err
		}
		dir = strings.TrimSuffix(file, filepath.FromSlash("/"+name))
	}
	return dir, nil
}
