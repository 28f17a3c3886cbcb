// Package eventauth says who may send what, and who may see what: the authorisation rules of the room versions, the selection of
// auth events, the levels they are weighed with, history visibility for users and for servers, server ACLs, and what users say
// themselves of whom they ignore and who may invite them.
//
// room and stateres ask it before an event enters a room, federation before it makes an event for another server to sign, usersync
// and clientapi before they show one, push for notification levels. All of it is pure functions over events that the caller has
// already loaded. It never verifies the signature of a server: whoever receives an event does that first (Server-Server API, "Checks
// performed on receipt of a PDU", step 2).
package eventauth
