package run

import (
	"errors"
	"log/slog"
)

// logWriter writes lines to log.jsonl and keeps the error that a logger would drop.
type logWriter struct{ d *Dir }

func (w logWriter) Write(p []byte) (int, error) {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if w.d.closed {
		return 0, errors.New("run: the run has ended")
	}
	n, err := w.d.logFile.Write(p)
	return n, w.d.faultLocked(err)
}

// newLogger tees records to JSON lines, from debug level on, and to another handler with a level of its own.
func newLogger(w logWriter, also slog.Handler) *slog.Logger {
	lines := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
	if also == nil {
		return slog.New(lines)
	}
	return slog.New(slog.NewMultiHandler(lines, also))
}
