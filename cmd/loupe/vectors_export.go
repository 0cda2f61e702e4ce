package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/npy"
	"loupe/internal/safetensors"
	"loupe/vectors"
)

// exported is what `loupe vectors export` wrote.
type exported struct {
	File   string `json:"file"`
	Format string `json:"format"`
	Layers []int  `json:"layers,omitempty"`
	Shape  []int  `json:"shape,omitempty"`
}

func newVectorsExportCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export CARD... FILE",
		Short: "Write vectors as a GGUF control vector, .svec, .npy or .safetensors",
		Long: `Write the directions of saved vectors, named by their cards (the .json of ` + "`loupe vectors fit`" + `). The ending of FILE says how:
.gguf (control vector of llama.cpp and repeng) and .svec (IBM activation-steering) take one vector a layer, all of one model; .npy and
.safetensors take one card and hold its directions [r, d].`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("name a card and a file; usage: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			file := args[len(args)-1]
			var saved []*vectors.Saved
			for _, path := range args[:len(args)-1] {
				s, err := vectors.Load(path, vectors.Use{})
				if err != nil {
					return err
				}
				saved = append(saved, s)
			}
			out, err := exportVectors(saved, file)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(out)
			}
			_, err = fmt.Fprintf(a.out, "%s: %s, layers %v, shape %v\n", out.File, out.Format, out.Layers, out.Shape)
			return err
		},
	}
	return cmd
}

func exportVectors(saved []*vectors.Saved, file string) (*exported, error) {
	out := &exported{File: file}
	switch strings.ToLower(filepath.Ext(file)) {
	case ".gguf", ".svec":
		cv, err := vectors.ToControlVector(saved)
		if err != nil {
			return nil, err
		}
		out.Layers = cv.Layers()
		if strings.EqualFold(filepath.Ext(file), ".gguf") {
			out.Format = "GGUF control vector"
			return out, cv.WriteGGUF(file)
		}
		out.Format = ".svec"
		return out, cv.WriteSvec(file, map[int]float64{})
	case ".npy", ".safetensors":
		if len(saved) != 1 {
			return nil, usagef("%d cards into %s, which takes one; use .gguf or .svec", len(saved), file)
		}
		s := saved[0]
		if s.Directions == nil {
			return nil, fmt.Errorf("%s is an eraser without directions; its tensors are in %s", s.Name, s.Tensors.File)
		}
		r, d := s.Directions.Dims()
		values := mat.DenseCopyOf(s.Directions).RawMatrix().Data
		out.Shape, out.Layers = []int{r, d}, []int{s.Layer}
		narrow := make([]float32, len(values))
		for i, v := range values {
			narrow[i] = float32(v)
		}
		if strings.EqualFold(filepath.Ext(file), ".npy") {
			out.Format = "NumPy"
			return out, npy.Write(file, npy.F32([]int{r, d}, narrow))
		}
		out.Format = "safetensors"
		return out, safetensors.Write(file, []safetensors.Tensor{safetensors.F32("directions", []int{r, d}, narrow)}, map[string]string{"site": s.Site, "model": s.Model.Digest})
	}
	return nil, usagef("%s: the ending says the format: .gguf, .svec, .npy or .safetensors", file)
}
