// Package method holds the ways to erase concepts from a text encoder, one file each, behind one signature: a Task, which says what
// is erased and what is kept, becomes an encoder.Variant.
//
// # Overview
//
//	task, err := method.NewTask(method.DefaultTask())
//	m, err := method.Find("uce")
//	variant, err := m.Fit(ctx, e, task, m.Config())
//
// All lists the methods. A new one is a file with a function that returns a Method, a line in All, and a test beside it.
package method
