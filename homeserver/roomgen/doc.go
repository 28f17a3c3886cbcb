// Package roomgen makes rooms as several servers would have made them: signed events of any room version, with forks and merges, and
// with the quarrels, wrong clocks and broken events that a server meets. It also holds recorded rooms, those that were made once and
// written down with their resolved state.
//
// It serves tests, benchmarks and recorded rooms, and is never linked into the server. A room depends on its Options alone: the same
// options make the same room, byte for byte. It knows no database and asks no network.
package roomgen
