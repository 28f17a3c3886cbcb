package main

import (
	"fmt"
	"io"

	"causeway/bridges"
)

// bridgeMetrics are the metrics of bridges of this server, one row each.
var bridgeMetrics = []struct {
	name, help string
	value      func(bridges.Status) any
}{
	{"delivered", "Messages of people that the network took since the bridge started.", func(s bridges.Status) any { return s.Delivered }},
	{"failed", "Messages of people that the network will not take, since the bridge started.", func(s bridges.Status) any { return s.Failed }},
	{"waiting", "Events on their way to the network.", func(s bridges.Status) any { return s.Waiting }},
	{"unbridging", "Rooms that the bridge is leaving.", func(s bridges.Status) any { return s.Unbridging }},
}

// printBridges writes the metrics of bridges. Those of one that does not answer are that alone.
func printBridges(w io.Writer, all servicesStatus) {
	var own []serviceStatus
	for _, s := range all.Services {
		if s.Bridge != nil || s.BridgeFault != "" {
			own = append(own, s)
		}
	}
	if len(own) == 0 {
		return
	}
	head := func(name, help string) string {
		name = "causeway_bridge_" + name
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %[1]s gauge\n", name, help)
		return name
	}
	name := head("up", "Whether the bridge says how it is doing.")
	for _, s := range own {
		up := 0
		if s.Bridge != nil {
			up = 1
		}
		fmt.Fprintf(w, "%s{service=\"%s\"} %d\n", name, labelText.Replace(s.ID), up)
	}
	name = head("state", "The state of the bridge as a whole.")
	for _, s := range own {
		if s.Bridge != nil {
			fmt.Fprintf(w, "%s{service=\"%s\",state=\"%s\"} 1\n", name, labelText.Replace(s.ID), labelText.Replace(s.Bridge.State))
		}
	}
	name = head("logins", "Logins of people to the network by state.")
	for _, s := range own {
		if s.Bridge == nil {
			continue
		}
		for _, state := range s.Bridge.States() {
			fmt.Fprintf(w, "%s{service=\"%s\",state=\"%s\"} %d\n", name, labelText.Replace(s.ID), labelText.Replace(state), s.Bridge.Logins[state])
		}
	}
	for _, m := range bridgeMetrics {
		name := head(m.name, m.help)
		for _, s := range own {
			if s.Bridge != nil {
				fmt.Fprintf(w, "%s{service=\"%s\"} %v\n", name, labelText.Replace(s.ID), m.value(*s.Bridge))
			}
		}
	}
}

// printFaults writes how many registration files have faults.
func printFaults(w io.Writer, all servicesStatus) {
	files := map[string]bool{}
	for _, fault := range all.Faults {
		files[fault.File] = true
	}
	fmt.Fprintf(w, "# HELP causeway_appservice_faulty_files Registration files that have faults.\n"+
		"# TYPE causeway_appservice_faulty_files gauge\ncauseway_appservice_faulty_files %d\n", len(files))
}
