package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// serviceMetrics are the metrics of application services, one row each. A service that the server does not send to has none.
var serviceMetrics = []struct {
	name, help string
	value      func(s serviceStatus, now time.Time) any
}{
	{"position", "Place in the stream up to which the service has taken everything.",
		func(s serviceStatus, _ time.Time) any { return s.Pos }},
	{"events_behind", "Events after that place.",
		func(s serviceStatus, _ time.Time) any { return s.Behind }},
	{"oldest_undelivered_seconds", "For how long the oldest event that the service has not taken has waited; 0 for none.",
		func(s serviceStatus, now time.Time) any { return since(s.OldestTS, now) }},
	{"failing_seconds", "For how long the service has taken nothing; 0 when it does.",
		func(s serviceStatus, now time.Time) any { return since(s.FailingTS, now) }},
	{"delivered_timestamp_seconds", "When the service last took something, in Unix time; 0 for not since the start.",
		func(s serviceStatus, _ time.Time) any { return float64(s.DeliveredTS) / 1000 }},
}

// since is a time span in seconds, 0 for a time of 0.
func since(ts int64, now time.Time) float64 {
	if ts == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMilli(ts)).Seconds())
}

// labelText escapes the value of a label.
var labelText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// printMetrics writes the services' metrics in the text format of Prometheus. The last error is a label of a metric of its own, which
// is there while the service fails.
func printMetrics(out io.Writer, all servicesStatus, now time.Time) error {
	w := bufio.NewWriter(out)
	up := 0
	if all.Running {
		up = 1
	}
	fmt.Fprintf(w, "# HELP causeway_up Whether the server runs.\n# TYPE causeway_up gauge\ncauseway_up %d\n", up)
	head := func(name, help string) string {
		name = "causeway_appservice_" + name
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %[1]s gauge\n", name, help)
		return name
	}
	for _, m := range serviceMetrics {
		name := head(m.name, m.help)
		for _, s := range all.Services {
			if s.Followed {
				fmt.Fprintf(w, "%s{service=\"%s\"} %v\n", name, labelText.Replace(s.ID), m.value(s, now))
			}
		}
	}
	name := head("last_error", "Why the service did not take what it was last sent.")
	for _, s := range all.Services {
		if s.FailingTS != 0 {
			fmt.Fprintf(w, "%s{service=\"%s\",error=\"%s\"} 1\n", name, labelText.Replace(s.ID), labelText.Replace(s.shortError()))
		}
	}
	printFaults(w, all)
	printBridges(w, all)
	return w.Flush()
}
