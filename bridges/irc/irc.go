// Package irc is the bridge to Internet Relay Chat: a bridgev2 NetworkConnector with one IRC connection for each
// Matrix user and network.
//
// It holds the networks of the configuration, the connections, and the translation both ways. cmd/causeway
// makes a Connector and gives it to bridges.New; nobody else calls it. It never talks to a homeserver but
// through bridgev2 and bridges.Host.
//
// # How a line travels
//
// A Matrix user who joins #irc_NETWORK_#channel:server gets a client (client.go), which is one goroutine that
// owns the connection's state, with a reader and a writer beside it (session.go). All clients of a network
// that are in a channel see its lines; the channel's feed (feed.go) picks each line once and hands it to the
// channel's lane (lane.go), one goroutine that sends to Matrix in order. A Matrix message goes to its sender's
// client, which splits it (split.go), paces it (flood.go) and follows it with a PING; the PONG says that the
// server has processed it, and only then is the event done (bridges.Host.Defer).
//
// # What is promised
//
// Matrix to IRC: at least once, in order within a room. A line is sent again when the connection or the
// process breaks between the server's taking it and the PONG, because plain IRC has no way to ask. Where the network tells
// the history of channels (draft/chathistory), the line is looked for there first (reconcile.go), and so is sent once.
//
// IRC to Matrix: a line that some client of ours received is delivered once and in order while the process
// lives; when Matrix is slow the sockets are read more slowly. When a room takes nothing for minutes, lines of it are
// lost and the room is told how many. What passes while no client of ours is in a
// channel is not seen on plain IRC, which has no history; where there is one, what follows the last line that Matrix has got
// is fetched (catchup.go), also after a crash, unless nobody of ours wanted to be in the channel.
package irc
