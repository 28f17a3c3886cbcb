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
// # How a channel's state travels
//
// Each client reads modes by what its server says of itself (isupport.go) and knows the ranks and lists of its
// channels; the leader also asks for what JOIN does not tell (modes.go, lists.go). Changes go through the feed as
// lines do. The lane collects them (scene.go) and brings power levels, rules and bans of the room up to date, one
// event for a crowd of changes, and before a line that depends on them. The way back is a command of the sender's
// own client (powers.go, bans.go, invites.go); what the server refuses is taken back in the room.
//
// # What is promised
//
// Matrix to IRC: at least once, in order within a room. A line is sent again when the connection or the
// process breaks between the server's taking it and the PONG, because plain IRC has no way to ask.
//
// IRC to Matrix: a line that some client of ours received is delivered once and in order while the process
// lives; when Matrix is slow the sockets are read more slowly. When a room takes nothing for minutes, lines of it are
// lost and the room is told how many. What passes while no client of ours is in a
// channel is not seen: plain IRC has no history.
package irc
