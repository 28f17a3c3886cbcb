//go:build profile

package main

import (
	"fmt"
	"net/http"
	_ "net/http/pprof" // registers itself
	"os"
)

// profileEnv is the loopback address where a binary that was built with the tag profile tells of itself (net/http/pprof). No
// binary that is shipped has it: it is for those who measure.
const profileEnv = "PROFILE_ADDRESS"

func init() {
	address := os.Getenv(profileEnv)
	if address == "" {
		return
	}
	go func() {
		if err := http.ListenAndServe(address, nil); err != nil {
			fmt.Fprintln(os.Stderr, "causeway: serve profiles:", err)
		}
	}()
}
