package main

import "causeway/bridges"

// networks are the networks of this binary that others wrote: connectors of mautrix's bridgev2. `causeway build` puts a
// file of its own in the place of this one.
var networks []bridges.Network
