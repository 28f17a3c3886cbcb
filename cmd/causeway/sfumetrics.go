package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"causeway/sfu"
	"causeway/sfu/network"
	"causeway/sfu/track"
)

// sfuMetric is a metric of the SFU: its values by those of its label, "" for one without.
type sfuMetric struct {
	name, kind, help, label string
	values                  func(m sfu.Metrics, n network.Stats) map[string]any
}

// sfuMetrics are the metrics of the SFU.
var sfuMetrics = []sfuMetric{
	{"rooms", "gauge", "Calls that run.", "", func(m sfu.Metrics, _ network.Stats) map[string]any { return only(m.Rooms) }},
	{"participants", "gauge", "Participants of them.", "", func(m sfu.Metrics, _ network.Stats) map[string]any { return only(m.Participants) }},
	{"connections", "gauge", "Participants, by how well they are connected.", "quality", func(m sfu.Metrics, _ network.Stats) map[string]any { return each(m.Quality, same) }},
	{"published_tracks", "gauge", "Tracks that are published.", "kind", func(m sfu.Metrics, _ network.Stats) map[string]any { return each(m.Published, same) }},
	{"subscribed_tracks", "gauge", "Tracks that are sent to somebody, for each who gets them.", "kind", func(m sfu.Metrics, _ network.Stats) map[string]any { return each(m.Subscribed, same) }},

	{"received_packets_total", "counter", "Packets from publishers.", "kind", fromIn(func(c counts) uint64 { return c.Packets })},
	{"received_bytes_total", "counter", "Bytes from publishers.", "kind", fromIn(func(c counts) uint64 { return c.Bytes })},
	{"lost_packets_total", "counter", "Packets from publishers that never came.", "kind", fromIn(func(c counts) uint64 { return c.Lost })},
	{"asked_packets_total", "counter", "Packets that publishers were asked for again.", "kind", fromIn(func(c counts) uint64 { return c.Asked })},
	{"asked_key_frames_total", "counter", "Key frames that publishers were asked for.", "kind", fromIn(func(c counts) uint64 { return c.KeyFrames })},
	{"sent_packets_total", "counter", "Packets to subscribers.", "kind", fromOut(func(s sfu.Sent) uint64 { return s.Packets })},
	{"sent_bytes_total", "counter", "Bytes to subscribers.", "kind", fromOut(func(s sfu.Sent) uint64 { return s.Bytes })},
	{"repeated_packets_total", "counter", "Packets that were sent to subscribers again.", "kind", fromOut(func(s sfu.Sent) uint64 { return s.Repeated })},

	{"joins_total", "counter", "Participants that have come.", "", func(m sfu.Metrics, _ network.Stats) map[string]any { return only(m.Joined) }},
	{"leaves_total", "counter", "Participants that have gone, by the reason.", "reason", func(m sfu.Metrics, _ network.Stats) map[string]any { return each(m.Left, same) }},
	{"refused_total", "counter", "Participants that could not come in, by the reason.", "reason", func(m sfu.Metrics, _ network.Stats) map[string]any { return each(m.Refused, same) }},

	{"socket_packets_total", "counter", "Packets of media that went out by the UDP sockets.", "", func(_ sfu.Metrics, n network.Stats) map[string]any { return only(n.Packets) }},
	{"socket_batches_total", "counter", "Batches in which they went.", "", func(_ sfu.Metrics, n network.Stats) map[string]any { return only(n.Batches) }},
	{"socket_messages_total", "counter", "Messages to the kernel in which they went: several packets to one address are one.", "", func(_ sfu.Metrics, n network.Stats) map[string]any { return only(n.Calls) }},
	{"socket_errors_total", "counter", "Packets that could not be sent.", "", func(_ sfu.Metrics, n network.Stats) map[string]any { return only(n.Errors) }},
}

// counts are what has come from publishers.
type counts = track.Counts

func fromIn(value func(counts) uint64) func(sfu.Metrics, network.Stats) map[string]any {
	return func(m sfu.Metrics, _ network.Stats) map[string]any {
		return each(m.In, func(c counts) any { return value(c) })
	}
}

func fromOut(value func(sfu.Sent) uint64) func(sfu.Metrics, network.Stats) map[string]any {
	return func(m sfu.Metrics, _ network.Stats) map[string]any {
		return each(m.Out, func(s sfu.Sent) any { return value(s) })
	}
}

func only(v any) map[string]any { return map[string]any{"": v} }

func same[T any](v T) any { return v }

func each[T any](all map[string]T, value func(T) any) map[string]any {
	out := make(map[string]any, len(all))
	for name, v := range all {
		out[name] = value(v)
	}
	return out
}

// printMetrics writes the metrics of the SFU in the text format of Prometheus.
func (c *calls) printMetrics(out io.Writer) error {
	if c != nil && c.nodes != nil {
		return printNodes(out, c.nodes.Live())
	}
	if c == nil || c.sfu == nil {
		return nil
	}
	w, m, n := bufio.NewWriter(out), c.sfu.Metrics(), c.net.Stats()
	for _, row := range sfuMetrics {
		name := "causeway_sfu_" + row.name
		// OpenMetrics names the family of a counter without its end, and the older format takes any.
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %[1]s %[3]s\n", strings.TrimSuffix(name, "_total"), row.help, row.kind)
		values := row.values(m, n)
		for _, of := range slices.Sorted(maps.Keys(values)) {
			labels := ""
			if row.label != "" {
				labels = fmt.Sprintf("{%s=%q}", row.label, of)
			}
			fmt.Fprintf(w, "%s%s %v\n", name, labels, values[of])
		}
	}
	return w.Flush()
}

// printNodes writes which nodes answer.
func printNodes(out io.Writer, live map[string]bool) error {
	w := bufio.NewWriter(out)
	fmt.Fprint(w, "# HELP causeway_sfu_node_up Whether a node for calls answers.\n# TYPE causeway_sfu_node_up gauge\n")
	for _, name := range slices.Sorted(maps.Keys(live)) {
		up := 0
		if live[name] {
			up = 1
		}
		fmt.Fprintf(w, "causeway_sfu_node_up{node=\"%s\"} %d\n", labelText.Replace(name), up)
	}
	return w.Flush()
}
