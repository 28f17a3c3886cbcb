package sfu

import (
	"net/netip"
	"strconv"
	"strings"
)

// candidateLine begins a line of a description that tells an address (RFC 8839, section 5.1).
const candidateLine = "a=candidate:"

// withPublic has a description of ours tell, beside the addresses of this machine, those by which a NAT hands on to them, on the same ports.
// ICE itself knows nothing of these: what comes by them arrives at one of the machine's own addresses, whichever that is. (Were they candidates
// of pion's, each would be tied to one of the machine's sockets, and two readers of the same socket would mix up the order of packets.)
func withPublic(description string, public []netip.Addr) string {
	if len(public) == 0 {
		return description
	}
	var out strings.Builder
	var told []string // of this media section, so far
	for line := range strings.SplitAfterSeq(description, "\r\n") {
		switch {
		case strings.HasPrefix(line, candidateLine):
			told = append(told, line)
		case len(told) > 0:
			for _, further := range translated(told, public) {
				out.WriteString(further)
			}
			told = nil
		}
		out.WriteString(line)
	}
	return out.String()
}

// Fields of a candidate.
const (
	candidateFoundation = iota
	candidateComponent
	candidateTransport
	candidatePriority
	candidateAddress
	candidatePort
	candidateFields
)

// translated gives candidates with public addresses in the place of this machine's own of the same family. Each has a priority of its own,
// next to that of the one it is made from: who reaches both takes the shorter way.
func translated(told []string, public []netip.Addr) []string {
	var made []string
	known, taken := map[string]bool{}, map[uint64]bool{}
	rows := make([][]string, 0, len(told))
	for _, line := range told {
		row := strings.Fields(strings.TrimPrefix(line, candidateLine))
		if len(row) < candidateFields {
			continue
		}
		rows = append(rows, row)
		known[candidateKey(row)] = true
		if priority, err := strconv.ParseUint(row[candidatePriority], 10, 32); err == nil {
			taken[priority] = true
		}
	}
	for _, row := range rows {
		own, err := netip.ParseAddr(row[candidateAddress])
		priority, noNumber := strconv.ParseUint(row[candidatePriority], 10, 32)
		if err != nil || noNumber != nil {
			continue
		}
		for i, a := range public {
			further := append([]string(nil), row...)
			further[candidateAddress] = a.String()
			if a.Is6() != own.Is6() || known[candidateKey(further)] {
				continue
			}
			for taken[priority] && priority > localPreference {
				priority -= localPreference
			}
			known[candidateKey(further)], taken[priority] = true, true
			further[candidatePriority] = strconv.FormatUint(priority, 10)
			// Another base makes another foundation (RFC 8445, section 5.1.1.3).
			further[candidateFoundation] += "n" + strconv.Itoa(i)
			made = append(made, candidateLine+strings.Join(further, " ")+"\r\n")
		}
	}
	return made
}

// localPreference is by how much priorities of one type differ at least (RFC 8445, section 5.1.2.1).
const localPreference = 1 << 8

// candidateKey is by what candidates are told apart: component, transport, address and port.
func candidateKey(row []string) string {
	return strings.ToLower(row[candidateComponent] + " " + row[candidateTransport] + " " + row[candidateAddress] + " " + row[candidatePort])
}
