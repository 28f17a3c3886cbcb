package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"causeway/homeserver/callstatus"
	"causeway/sfu"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// status is what tells administrators of calls; nil where there is no SFU.
func (c *calls) status() callstatus.Source {
	switch {
	case c == nil:
		return nil
	case c.nodes != nil:
		return c.nodeStatus
	case c.sfu == nil:
		return nil
	}
	return func(ctx context.Context) callstatus.Status {
		var all []callstatus.Call
		for _, room := range c.sfu.Status() {
			all = append(all, c.callOf(room))
		}
		return callstatus.Status{Calls: c.named(ctx, all)}
	}
}

// named puts the names of rooms to calls. Where they cannot be read, there are none.
func (c *calls) named(ctx context.Context, all []callstatus.Call) []callstatus.Call {
	rooms := make([]id.RoomID, len(all))
	for i, call := range all {
		rooms[i] = call.RoomID
	}
	names, err := c.hs.RoomNames(ctx, rooms)
	if err != nil {
		zerolog.Ctx(ctx).Err(err).Msg("How rooms are called could not be read")
	}
	for i := range all {
		all[i].Room = names[all[i].RoomID]
	}
	return all
}

// nodeStatus tells of the calls on all nodes that answer.
func (c *calls) nodeStatus(ctx context.Context) callstatus.Status {
	var all []callstatus.Call
	answers := c.nodes.Status(ctx)
	var silent []string
	for name := range c.nodes.Live() {
		if _, answered := answers[name]; !answered {
			silent = append(silent, name)
		}
	}
	slices.Sort(silent)
	for name, raw := range answers {
		var rooms []sfu.RoomStatus
		if err := json.Unmarshal(raw, &rooms); err != nil {
			continue // of another version
		}
		for _, room := range rooms {
			call := c.callOf(room)
			call.Node = name
			all = append(all, call)
		}
	}
	slices.SortFunc(all, func(a, b callstatus.Call) int {
		return cmp.Or(cmp.Compare(a.SinceTS, b.SinceTS), cmp.Compare(a.Name, b.Name))
	})
	return callstatus.Status{Calls: c.named(ctx, all), Silent: silent}
}

// callOf tells of a call by the names that Matrix has.
func (c *calls) callOf(room sfu.RoomStatus) callstatus.Call {
	call := callstatus.Call{Name: room.Name, SinceTS: room.Created.UnixMilli(), Members: []callstatus.Member{}}
	users, tracks := map[string]id.UserID{}, map[string]sfu.TrackStatus{}
	for _, p := range room.Participants {
		if seat, ok := c.focus.Who(room.Name, p.Identity); ok {
			users[p.Identity], call.RoomID = seat.UserID, seat.RoomID
		}
		for _, t := range p.Published {
			tracks[t.SID] = t
		}
	}
	for _, p := range room.Participants {
		seat, _ := c.focus.Who(room.Name, p.Identity)
		m := callstatus.Member{
			UserID: users[p.Identity], DeviceID: seat.DeviceID, Identity: p.Identity, SinceTS: p.Joined.UnixMilli(),
			Connected: p.Connected, Signalling: p.Signalling, Estimate: p.Estimate, Sends: []callstatus.Track{}, Gets: []callstatus.Subscription{},
		}
		for _, t := range p.Published {
			m.Sends = append(m.Sends, trackOf(t))
		}
		for _, s := range p.Subscribed {
			m.Gets = append(m.Gets, subscriptionOf(s, users[s.From], tracks[s.SID]))
		}
		arrange(m.Sends, func(t callstatus.Track) string { return t.Source })
		arrange(m.Gets, func(g callstatus.Subscription) string { return string(g.From) + g.Identity + g.Source })
		call.Members = append(call.Members, m)
	}
	return call
}

// arrange sorts by a key. Of equals the order stays.
func arrange[T any](all []T, key func(T) string) {
	slices.SortStableFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
}

func trackOf(t sfu.TrackStatus) callstatus.Track {
	track := callstatus.Track{
		ID: t.SID, Source: t.Source, Codec: t.Codec, Muted: t.Muted, Encrypted: t.Encrypted, Subscribers: t.Subscribers, Layers: []callstatus.Layer{},
	}
	for _, l := range t.Layers {
		layer := callstatus.Layer{
			Layer: l.Layer, Bitrate: l.Bitrate, Packets: l.Packets, Bytes: l.Bytes, Lost: l.Lost, Asked: l.Asked, KeyFrames: l.KeyFrames,
		}
		if all := l.Packets + l.Lost; all > 0 {
			layer.Loss = float64(l.Lost) / float64(all)
		}
		track.Layers = append(track.Layers, layer)
	}
	return track
}

func subscriptionOf(s sfu.SubscriptionStatus, from id.UserID, t sfu.TrackStatus) callstatus.Subscription {
	gets := callstatus.Subscription{
		ID: s.SID, From: from, Identity: s.From, Source: t.Source, Layers: len(t.Layers), Layer: s.Layer, Wanted: s.Want,
		Packets: s.Packets, Bytes: s.Bytes, Repeated: s.Repeated, Loss: s.Loss, RTT: int(s.RTT.Milliseconds()),
	}
	for _, l := range t.Layers {
		if l.Layer == gets.Layer {
			gets.Bitrate = l.Bitrate
		}
	}
	return gets
}
