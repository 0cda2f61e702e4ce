package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/floats"

	"loupe/probe/model"
	"loupe/vectors"
)

// siteVector is a direction at a site with a strength.
type siteVector struct {
	Site     model.Site
	Vector   []float64
	Strength float64
}

const vectorForm = "use FILE[:STRENGTH] with a .gguf or .svec control vector or the .json card of a fitted vector, or SITE=FILE[:STRENGTH] with a .npy file or .safetensors#TENSOR"

// parseVectors reads the values of --vector. Control vectors have a direction for each of several layers; layers, nil for all,
// limits them. Directions at one site from several control vectors are added with their strengths, so that each site is edited once.
func parseVectors(args []string, layers []int, digest string) ([]siteVector, error) {
	var out []siteVector
	var control *vectors.ControlVector
	for _, arg := range args {
		ref, strength, err := cutStrength(arg)
		if err != nil {
			return nil, err
		}
		if name, path, ok := strings.Cut(ref, "="); ok {
			site, err := model.ParseSite(name)
			if err != nil {
				return nil, usagef("--vector %q: %w", arg, err)
			}
			values, err := readVector(path)
			if err != nil {
				return nil, err
			}
			out = append(out, siteVector{site, wide(values), strength})
			continue
		}
		switch ext := strings.ToLower(filepath.Ext(ref)); ext {
		case ".json":
			v, err := fittedVector(ref, digest)
			if err != nil {
				return nil, err
			}
			v.Strength = strength
			out = append(out, *v)
		case ".gguf", ".svec":
			c, err := readControl(ref, ext)
			if err != nil {
				return nil, err
			}
			if control == nil {
				control = c.Scale(strength)
			} else if control, err = control.Add(strength, c); err != nil {
				return nil, fmt.Errorf("--vector %q: %w", arg, err)
			}
		default:
			return nil, usagef("--vector %q: %s", arg, vectorForm)
		}
	}
	if control == nil {
		if layers != nil {
			return nil, usagef("--layers: only control vectors (.gguf, .svec) have layers to choose from")
		}
		return out, nil
	}
	if layers == nil {
		layers = control.Layers()
	}
	for _, l := range layers {
		v, err := control.Direction(l)
		if err != nil {
			return nil, err
		}
		if floats.Norm(v, 2) == 0 { // strength 0, or vectors that cancel
			continue
		}
		out = append(out, siteVector{model.Site{Kind: model.ResidPost, Layer: l}, v, 1})
	}
	return out, nil
}

func readControl(path, ext string) (*vectors.ControlVector, error) {
	if ext == ".gguf" {
		return vectors.ReadControlVectorGGUF(path)
	}
	c, _, err := vectors.ReadSvec(path)
	return c, err
}

// fittedVector is the first direction of a saved vector.
func fittedVector(path, digest string) (*siteVector, error) {
	saved, err := vectors.Load(path, vectors.Use{Model: digest})
	if err != nil {
		return nil, err
	}
	if saved.Directions == nil {
		return nil, fmt.Errorf("%s is an eraser without a direction; fit one with a method such as %s", path, vectors.MethodDiffOfMeans)
	}
	site, err := model.ParseSite(saved.Site)
	return &siteVector{Site: site, Vector: saved.Directions.RawRowView(0)}, err
}

// cutStrength takes :STRENGTH off the end of a reference; without one it is 1.
func cutStrength(arg string) (ref string, strength float64, err error) {
	at := strings.LastIndexByte(arg, ':')
	if at < 0 {
		return arg, 1, nil
	}
	strength, err = strconv.ParseFloat(arg[at+1:], 64)
	if err != nil && strings.ContainsAny(arg[at+1:], `/\.`) { // a drive letter or a colon in the path
		return arg, 1, nil
	}
	if err != nil || math.IsNaN(strength) || math.IsInf(strength, 0) {
		return "", 0, usagef("--vector %q: the strength %q is not a number; %s", arg, arg[at+1:], vectorForm)
	}
	return arg[:at], strength, nil
}

// parseLayers reads "3,5,8-11".
func parseLayers(text string) ([]int, error) {
	if text == "" {
		return nil, nil
	}
	var out []int
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(strings.TrimSpace(from))
		b, errB := strconv.Atoi(strings.TrimSpace(to))
		if errA != nil || errB != nil || a < 0 || b < a || b > 1<<16 {
			return nil, usagef("--layers %q: write numbers and ranges such as 3,5,8-11", text)
		}
		for l := a; l <= b; l++ {
			out = append(out, l)
		}
	}
	return out, nil
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
