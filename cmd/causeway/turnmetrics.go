package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"

	"causeway/sfu/turn"
)

// turnMetrics are the metrics of the TURN server, one row each.
var turnMetrics = []struct {
	name, kind, help string
	value            func(m turn.Metrics) any
}{
	{"allocations", "gauge", "Relays that there are.", func(m turn.Metrics) any { return m.Allocations }},
	{"users", "gauge", "Users who have them.", func(m turn.Metrics) any { return m.Users }},
	{"connections", "gauge", "Connections by TCP and TLS.", func(m turn.Metrics) any { return m.Connections }},
	{"allocations_total", "counter", "Relays since the start.", func(m turn.Metrics) any { return m.Allocated }},
	{"sent_bytes_total", "counter", "Bytes relayed to peers.", func(m turn.Metrics) any { return m.BytesOut }},
	{"received_bytes_total", "counter", "Bytes relayed from peers.", func(m turn.Metrics) any { return m.BytesIn }},
}

// printMetrics writes the metrics of the TURN server in the text format of Prometheus.
func (t *turnPart) printMetrics(out io.Writer) error {
	if t == nil || t.server == nil {
		return nil
	}
	w, m := bufio.NewWriter(out), t.server.Metrics()
	head := func(name, kind, help string) string {
		name = "causeway_turn_" + name
		family := name
		if kind == "counter" {
			family = name[:len(name)-len("_total")] // OpenMetrics names a family without it, and the older format takes any
		}
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %[1]s %[3]s\n", family, help, kind)
		return name
	}
	for _, row := range turnMetrics {
		fmt.Fprintf(w, "%s %v\n", head(row.name, row.kind, row.help), row.value(m))
	}
	name := head("refused_total", "counter", "What was refused, by the reason.")
	for _, reason := range slices.Sorted(maps.Keys(m.Refused)) {
		fmt.Fprintf(w, "%s{reason=\"%s\"} %d\n", name, reason, m.Refused[reason])
	}
	return w.Flush()
}
