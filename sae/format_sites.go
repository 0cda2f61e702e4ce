package sae

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// The rows of the table of formats that hold coders of several sites.

func crosscoderFormatRow() format {
	return format{
		name: FormatCrosscoder, files: []string{crosscoderConfigFile, crosscoderWeightsFile},
		readCoder:  func(path string) (Coder, error) { return coderOf(LoadCrosscoder(path)) },
		writeCoder: crosscoderWriter(func(c *Crosscoder, path string) ([]string, error) { return nil, c.save(path, nil) }),
	}
}

func sofFormatRow() format {
	return format{
		name: FormatSoFCrosscoder, files: []string{sofConfig, sofWeights}, match: isSoF,
		readCoder: func(path string) (Coder, error) { return coderOf(readSoF(path)) }, writeCoder: crosscoderWriter(writeSoF),
	}
}

func kissaneFormatRow() format {
	return format{
		name: FormatKissaneCrosscoder, files: []string{kissaneConfig, kissaneWeights}, match: isKissane,
		readCoder: func(path string) (Coder, error) { return coderOf(readKissane(path)) }, writeCoder: crosscoderWriter(writeKissane),
	}
}

// coderOf keeps a failed reading from becoming a Coder that is not nil.
func coderOf[C Coder](c C, err error) (Coder, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// crosscoderWriter makes a format's writer of one for crosscoders.
func crosscoderWriter(write func(c *Crosscoder, path string) ([]string, error)) func(Coder, string) ([]string, error) {
	return func(c Coder, path string) ([]string, error) {
		x, ok := c.(*Crosscoder)
		if !ok {
			return nil, fmt.Errorf("the format is for crosscoders, not for %s", c.Shape().Arch)
		}
		return write(x, path)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func isKissane(path string, folder bool) bool {
	config, weights := kissaneFiles(path)
	return (folder || strings.HasSuffix(path, ".pt")) && exists(config) && exists(weights)
}

// isSoF looks into the weights: their names and files are those of an SAE or a model too.
func isSoF(path string, folder bool) bool {
	file := path
	if folder {
		if !exists(filepath.Join(path, sofConfig)) {
			return false
		}
		if file = filepath.Join(path, sofWeights); !exists(file) {
			file = filepath.Join(path, dictionaryWeights)
		}
	}
	var shape []int
	switch {
	case strings.HasSuffix(file, ".pt"):
		shape = torchShape(file, "encoder.weight")
	case filepath.Base(file) == sofWeights:
		if f, err := safetensors.Open(file); err == nil {
			info, _ := f.Info("encoder.weight")
			shape = info.Shape
			f.Close()
		}
	}
	return len(shape) == 3
}

// torchShape returns the shape of a tensor of a state_dict, nil for anything else.
func torchShape(path, name string) []int {
	f, err := torchzip.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	tensors, err := f.StateDict()
	if err != nil {
		return nil
	}
	for key, t := range tensors {
		if key == name || key == "_orig_mod."+name {
			return t.Shape
		}
	}
	return nil
}
