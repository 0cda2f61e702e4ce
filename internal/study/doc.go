// Package study is the frame of the experiments of papers: what a study computes becomes its summary, its report, its
// tables and the numbers that its expectations are judged by.
//
// # Overview
//
// A Study is a kind of configuration and a function. The function gets a Session, which opens models, takes numbers,
// sentences, tables and plots in the order in which they are to be read, and times the steps:
//
//	func run(ctx context.Context, s *study.Session, conf any) error {
//		l, err := s.Open(ctx, conf.(*Config).Model)
//		...
//		s.Interval("auc", auc)
//		s.Table("layers", report.Table{...})
//		s.Done("fit")
//	}
//
// Run judges the expectations and writes the run folder; Dry checks the configuration and says what would be judged.
package study
