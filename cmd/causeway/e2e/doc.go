// Package e2e tests the built binary from outside: it starts causeway and
// Debian's ngircd as processes, and talks to them with matrix-js-sdk, with plain
// IRC connections and with raw HTTP, on SQLite and on PostgreSQL. "make e2e" runs
// it. It imports nothing of the product but storetest, for a database, and looks
// into that only where no endpoint tells.
//
// Nothing here sleeps: whatever a process prints, or a client receives, goes into
// a journal, and a test waits for what it expects to see there.
package e2e
