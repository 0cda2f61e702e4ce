package sweep

import (
	"context"
	"strings"

	"loupe/probe"
	"loupe/probe/capture"
	"loupe/probe/model"
	"loupe/probe/store"
)

// Set is a labelled set of activations: one target at one site and position, a row a text.
type Set struct {
	Site     string
	Layer    int // -1 outside blocks
	Position string
	Target   probe.Target
	X        probe.Rows
	Split    probe.Split
	Group    []int // [n], rows that depend on each other
	Dropped  int   // texts without the position
}

// OpenData opens the store that d names, or that a capture has filled, with its targets and splits.
func OpenData(ctx context.Context, d Data) (*Job, error) {
	c := DefaultConfig()
	c.Data = d
	c.Controls = ControlConfig{}
	return Open(ctx, &c)
}

// Manifest describes the store.
func (j *Job) Manifest() *store.Manifest { return j.src.st.Manifest() }

// Sets calls yield for every target at every site and position, sites first.
func (j *Job) Sets(yield func(Set) error) error {
	for _, p := range j.places() {
		for _, b := range j.batches {
			b, in, dropped, err := j.read(b, p)
			if err != nil {
				return err
			}
			for _, t := range b.targets {
				s := Set{Site: p.site.Name, Layer: layerOf(p.site.Name), Position: p.at.name, Target: t, X: in.rows, Split: b.split, Group: b.group, Dropped: dropped}
				if err := yield(s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// layerOf is the layer of a stored site, -1 outside blocks.
func layerOf(name string) int {
	for _, reduce := range []string{capture.Mean, capture.First, capture.Last} {
		name = strings.TrimSuffix(name, "."+reduce)
	}
	if site, err := model.ParseSite(name); err == nil && site.Kind.InBlock() {
		return site.Layer
	}
	return -1
}
