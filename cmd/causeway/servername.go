package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// maxServerName is the length that the specification asks server names to
// stay below, so that identifiers fit in 255 bytes.
const maxServerName = 230

var (
	dnsLabel   = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?$`)
	dottedQuad = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){3}$`)
	portDigits = regexp.MustCompile(`^[0-9]{1,5}$`)
)

// checkServerName returns why name is not a server name, or nil.
// Appendices, "Server Name": hostname [":" port], where the host is an IPv4
// address, an IPv6 address in square brackets, or a DNS name.
func checkServerName(name string) error {
	if name == "" {
		return errors.New("must not be empty")
	}
	if len(name) > maxServerName {
		return fmt.Errorf("has %d characters, more than %d", len(name), maxServerName)
	}
	host, port, hasPort := splitServerName(name)
	if hasPort {
		if err := checkPort(port); err != nil {
			return fmt.Errorf("%q is not a server name: %w", name, err)
		}
	}
	if err := checkHost(host); err != nil {
		return fmt.Errorf("%q is not a server name: %w", name, err)
	}
	return nil
}

// splitServerName cuts off the port. The colons inside an IPv6 literal's
// brackets belong to the host.
func splitServerName(name string) (host, port string, hasPort bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || i < strings.LastIndexByte(name, ']') {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// checkPort demands 1 to 65535 in at most five digits.
func checkPort(port string) error {
	if n, err := strconv.Atoi(port); err != nil || !portDigits.MatchString(port) || n < 1 || n > 65535 {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

func checkHost(host string) error {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
			return errors.New("the brackets must hold an IPv6 address")
		}
		return nil
	}
	if dottedQuad.MatchString(host) {
		// net.ParseIP refuses numbers above 255 and leading zeros.
		if net.ParseIP(host) == nil {
			return errors.New("it looks like an IPv4 address but is none")
		}
		return nil
	}
	for label := range strings.SplitSeq(host, ".") {
		if !dnsLabel.MatchString(label) {
			return fmt.Errorf("%q is not a label of a DNS name (letters, digits and inner hyphens; a URL or a path does not belong here)", label)
		}
	}
	return nil
}
