package main

import (
	"io"
	"log/slog"
	"time"

	"github.com/rs/zerolog"
)

// newLogger makes the process's logger. It writes to w, which is standard
// error outside tests; standard output is kept for what commands answer.
func newLogger(cfg LogConfig, w io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.Nop(), err
	}
	// The OAuth library logs each refused request for itself, with what was in it. Ours log what matters.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	zerolog.TimeFieldFormat = time.RFC3339Nano
	if cfg.Format == logText || cfg.Format == logAuto && isTerminal(w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: !isTerminal(w)}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}
