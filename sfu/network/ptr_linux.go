package network

import "unsafe"

// ptr gives the address of the first byte of b, for the kernel's structures.
func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(&b[0]) }
