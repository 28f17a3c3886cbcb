package main

import (
	"strings"
	"testing"
)

func TestCheckServerName(t *testing.T) {
	good := []string{
		"localhost", "matrix.org", "matrix.org:8888", "1.2.3.4", "1.2.3.4:1234", "[1234:5678::abcd]",
		"[1234:5678::abcd]:5678", "[::1]", "MATRIX.org", "xn--bcher-kva.example", "1.2.3", "a-b.c",
	}
	for _, name := range good {
		if err := checkServerName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := []string{
		"", ":8008", "example.org:", "example.org:0", "example.org:65536", "example.org:123456", "example.org:+1",
		"example.org:80:80", "https://example.org", "example.org/path", "bücher.example", "a..b", "example.org.", "-a.b",
		"a-.b", "300.1.1.1", "1.2.3.04", "[1.2.3.4]", "[::1", "::1", "[fe80::1%eth0]", "[]", "a b", "a_b",
		strings.Repeat("a", 231),
	}
	for _, name := range bad {
		if err := checkServerName(name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func FuzzCheckServerName(f *testing.F) {
	for _, seed := range []string{"matrix.org:8888", "[::1]:80", "[", ":", "1.2.3.4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkServerName(name) != nil {
			return
		}
		// Appendices, "Server Name": nothing else is in the grammar.
		if strings.Trim(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.:[]") != "" || len(name) > maxServerName {
			t.Errorf("accepted %q", name)
		}
	})
}
