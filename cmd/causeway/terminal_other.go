//go:build !linux

package main

import "os"

// isTerminal says whether stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// hideTyping does nothing here: only on Linux do we know how to hide it.
func hideTyping(*os.File) (restore func(), err error) { return func() {}, nil }
