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
// server has processed it, and only then is the event done (bridges.Host.Defer). On a network with labels
// (labels.go) the answer to each line says so, and which line it was that the server refused.
//
// # How it looks
//
// Both sides' formatting meets in spans (style.go): IRC's codes are read and written by irccodes.go, Matrix's HTML by
// readhtml.go and writehtml.go, so that nothing is ever left open and nothing passes that neither side can show.
// Names of people are links on Matrix and nicks on IRC (mentions.go). What has tags on IRC, replies and
// reactions (tagmsg.go), redactions (redact.go), typing (typing.go), texts of several lines (multiline.go, batch.go),
// goes by them, and otherwise in words or not at all (content.go, matrix.go, textconfig.go). Edits wait a moment for
// further ones (edits.go); what has not been sent is changed where it waits (pending.go).
//
// # Who is who
//
// A user's login (login.go, identity.go) holds what they are called on a network and how they log in there: by SASL (sasl.go,
// scram.go, mechanisms.go) or NickServ (nickserv.go). Secrets are sealed (seal.go) under a key outside of the database. On the
// other side, who has an account on the network is one ghost by whatever nick (accounts.go); a lane knows the accounts of those in
// its channel, so that an item needs no more than a nick. Our own connections are known by the nick that the server has confirmed
// to them, and by their masks (puppets.go); never because somebody uses a name.
//
// # Rooms of one's own
//
// A room can be for one user alone (own.go): a conversation with somebody (direct.go, strangers.go, resolve.go, monitor.go), a channel as
// an IRC client shows it (bouncer.go), what servers say (status.go). Its portal has the user's login for its receiver, its
// lane has an owner, and its membership is marked as own, so that nothing of it is shared with the room that others have
// for the same channel. In a room whose mode is relay (roommode.go, relay.go) the bot's own connection is the only one, and
// says for whom each line is (relayname.go).
//
// # How a channel's state travels
//
// Each client reads modes by what its server says of itself (isupport.go) and knows the ranks and lists of its
// channels; the leader also asks for what JOIN does not tell (modes.go, lists.go). Changes go through the feed as
// lines do. The lane collects them (scene.go) and brings power levels, rules and bans of the room up to date, one
// event for a crowd of changes, and before a line that depends on them. The way back is a command of the sender's
// own client (powers.go, bans.go, invites.go); what the server refuses is taken back in the room.
//
// # Rooms of others
//
// People connect rooms of their own with channels (plumb.go), when an operator of the channel allows it, who is asked and heard
// by the bot's own connection (botconn.go, consent.go). What follows from it is done by links.go and linking.go, over a restart
// too. A room can have channels of several networks; what is said in one goes to the others by further.go. In strict
// channels (strict.go) nothing passes while somebody is in the room who is not on the channel.
//
// # What is promised
//
// Matrix to IRC: at least once, in order within a room. A line is sent again when the connection or the
// process breaks between the server's taking it and the PONG, because plain IRC has no way to ask. Where the network tells
// the history of channels (draft/chathistory), the line is looked for there first (reconcile.go), and so is sent once. An edit
// that waits for further ones is lost with the process, though not when it stops in order.
//
// IRC to Matrix: a line that some client of ours received is delivered once and in order while the process
// lives; when Matrix is slow the sockets are read more slowly. When a room takes nothing for minutes, lines of it are
// lost and the room is told how many. What passes while no client of ours is in a
// channel is not seen on plain IRC, which has no history; where there is one, what follows the last line that Matrix has got
// is fetched (catchup.go), also after a crash, unless nobody of ours wanted to be in the channel. Behind a ZNC its module playback tells
// it (znc.go). A restart in the middle of that asks again (inherited.go).
package irc
