// Package lab holds what experiments share: opening a model, capturing its activations once for all runs that need
// them, steps whose results survive a kill, intervals, tables, and expectations in summaries and reports.
//
// # Overview
//
// An experiment opens a [Lab], fills a store with [Lab.Capture], and does its work in steps of [Step], which read back
// what a killed run had finished. [Options] come from the command line and change no result.
package lab
