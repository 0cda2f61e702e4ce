package sweep

import (
	"cmp"

	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/internal/stats"
	"loupe/probe"
)

// write writes tables/cells.arrow, tables/baselines.arrow and tables/reliability.arrow.
func (r *Report) write(dir *run.Dir) error {
	return cmp.Or(r.writeCells(dir), r.writeBaselines(dir), r.writeReliability(dir))
}

// writeCells writes a row for each cell. A control that was not asked for has no columns.
func (r *Report) writeCells(dir *run.Dir) error {
	var t lab.Table
	text := func(name string, of func(Cell) string) { t.Text(name, lab.Column(r.Cells, of)) }
	count := func(name string, of func(Cell) int) {
		t.Count(name, lab.Column(r.Cells, func(c Cell) int64 { return int64(of(c)) }))
	}
	number := func(name string, of func(Cell) float64) { t.Float(name, lab.Column(r.Cells, of)) }
	interval := func(name string, of func(Cell) stats.Interval) { t.Interval(name, lab.Column(r.Cells, of)) }
	text("site", func(c Cell) string { return c.Site })
	count("layer", func(c Cell) int { return c.Layer })
	text("position", func(c Cell) string { return c.Position })
	text("target", func(c Cell) string { return c.Target })
	text("task", func(c Cell) string { return string(c.Task) })
	text("method", func(c Cell) string { return c.Method })
	count("train_rows", func(c Cell) int { return c.Train })
	count("test_rows", func(c Cell) int { return c.Test })
	count("test_groups", func(c Cell) int { return c.Groups })
	count("dropped", func(c Cell) int { return c.Dropped })
	count("weights", func(c Cell) int { return c.Weights })
	number("figure", func(c Cell) float64 { return c.Figure })
	number("figure_on_training_rows", func(c Cell) float64 { return c.TrainGain })
	if r.Cells[0].Task == probe.Regression {
		interval("r2", func(c Cell) stats.Interval { return c.Score.R2 })
		number("spearman", func(c Cell) float64 { return c.Score.Spearman })
	} else {
		interval("auc", func(c Cell) stats.Interval { return c.Score.AUC })
		interval("accuracy", func(c Cell) stats.Interval { return c.Score.Accuracy })
		number("balanced_accuracy", func(c Cell) float64 { return c.Score.Balanced })
		number("f1", func(c Cell) float64 { return c.Score.F1 })
		number("majority", func(c Cell) float64 { return c.Score.Majority })
	}
	if r.Cells[0].Shuffled != nil {
		count("shuffles", func(c Cell) int { return zero(c.Shuffled).N })
		number("shuffled_mean", func(c Cell) float64 { return zero(c.Shuffled).Mean })
		number("shuffled_max", func(c Cell) float64 { return zero(c.Shuffled).Max })
		number("p", func(c Cell) float64 { return zero(c.Shuffled).P })
	}
	if r.Cells[0].ControlTask != nil {
		number("seen_types_accuracy", func(c Cell) float64 { return zero(c.ControlTask).Real })
		number("control_task_accuracy", func(c Cell) float64 { return zero(c.ControlTask).Control })
		interval("selectivity", func(c Cell) stats.Interval { return zero(c.ControlTask).Selectivity })
	}
	if r.Cells[0].CV != nil {
		if r.Cells[0].Task == probe.Regression {
			interval("cv_r2", func(c Cell) stats.Interval { return zero(c.CV).R2 })
		} else {
			interval("cv_auc", func(c Cell) stats.Interval { return zero(c.CV).AUC })
			interval("cv_accuracy", func(c Cell) stats.Interval { return zero(c.CV).Accuracy })
		}
	}
	if r.Cells[0].Calibration != nil {
		number("ece", func(c Cell) float64 { return zero(c.Calibration).Before.ECE })
		number("ece_calibrated", func(c Cell) float64 { return zero(c.Calibration).After.ECE })
		t.Unit("log_loss", "nat", lab.Column(r.Cells, func(c Cell) float64 { return zero(c.Calibration).Before.LogLoss }))
		t.Unit("log_loss_calibrated", "nat", lab.Column(r.Cells, func(c Cell) float64 { return zero(c.Calibration).After.LogLoss }))
	}
	if r.Cells[0].MDL != nil {
		t.Unit("mdl", "bit", lab.Column(r.Cells, func(c Cell) float64 { return zero(c.MDL).Real.Bits }))
		t.Unit("mdl_shuffled", "bit", lab.Column(r.Cells, func(c Cell) float64 { return zero(c.MDL).Shuffled.Bits }))
		t.Unit("mdl_uniform", "bit", lab.Column(r.Cells, func(c Cell) float64 { return zero(c.MDL).Real.Uniform }))
	}
	if r.Cells[0].Probe != "" {
		text("probe", func(c Cell) string { return c.Probe })
	}
	return t.Write(dir, "cells")
}

// zero is what p points to, or zero where a cell lacks a control that others have.
func zero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (r *Report) writeBaselines(dir *run.Dir) error {
	if len(r.Baselines) == 0 {
		return nil
	}
	var t lab.Table
	t.Text("baseline", lab.Column(r.Baselines, func(b Baseline) string { return b.Kind }))
	t.Text("target", lab.Column(r.Baselines, func(b Baseline) string { return b.Target }))
	t.Count("words", lab.Column(r.Baselines, func(b Baseline) int64 { return int64(b.Words) }))
	t.Float("figure", lab.Column(r.Baselines, func(b Baseline) float64 { return b.Figure }))
	t.Interval("auc", lab.Column(r.Baselines, func(b Baseline) stats.Interval { return b.Score.AUC }))
	t.Interval("accuracy", lab.Column(r.Baselines, func(b Baseline) stats.Interval { return b.Score.Accuracy }))
	t.Interval("r2", lab.Column(r.Baselines, func(b Baseline) stats.Interval { return b.Score.R2 }))
	return t.Write(dir, "baselines")
}

// writeReliability writes a row for each bin of each cell, before and after calibration.
func (r *Report) writeReliability(dir *run.Dir) error {
	type row struct {
		c    Cell
		when string
		probe.Bin
	}
	var rows []row
	for _, c := range r.Cells {
		if c.Calibration == nil {
			continue
		}
		for _, b := range c.Calibration.Before.Bins {
			rows = append(rows, row{c, "before", b})
		}
		for _, b := range c.Calibration.After.Bins {
			rows = append(rows, row{c, "after", b})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	var t lab.Table
	t.Text("site", lab.Column(rows, func(r row) string { return r.c.Site }))
	t.Text("position", lab.Column(rows, func(r row) string { return r.c.Position }))
	t.Text("target", lab.Column(rows, func(r row) string { return r.c.Target }))
	t.Text("calibration", lab.Column(rows, func(r row) string { return r.when }))
	t.Float("low", lab.Column(rows, func(r row) float64 { return r.Low }))
	t.Float("high", lab.Column(rows, func(r row) float64 { return r.High }))
	t.Count("rows", lab.Column(rows, func(r row) int64 { return int64(r.N) }))
	t.Float("confidence", lab.Column(rows, func(r row) float64 { return r.Confidence }))
	t.Float("accuracy", lab.Column(rows, func(r row) float64 { return r.Accuracy }))
	return t.Write(dir, "reliability")
}
