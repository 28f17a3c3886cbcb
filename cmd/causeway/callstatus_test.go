package main

import (
	"slices"
	"testing"

	"causeway/sfu"
	"causeway/sfu/focus"
)

// TestCallOf has what somebody sends and gets be told in an order that stays, by who sends it: the SFU has it by names that say nothing.
func TestCallOf(t *testing.T) {
	c := &calls{focus: focus.New(focus.Config{})}
	track := func(sid, source, codec string) sfu.TrackStatus {
		return sfu.TrackStatus{SID: sid, Source: source, Codec: codec}
	}
	call := c.callOf(sfu.RoomStatus{Participants: []sfu.ParticipantStatus{
		{Identity: "bob", Published: []sfu.TrackStatus{track("TR_4", "microphone", "opus"), track("TR_9", "camera", "vp8")}},
		{Identity: "alice", Published: []sfu.TrackStatus{track("TR_1", "screen_share", "vp8"), track("TR_6", "camera", "vp8")}},
		{Identity: "carol", Subscribed: []sfu.SubscriptionStatus{{SID: "TR_1", From: "alice"}, {SID: "TR_4", From: "bob"}, {SID: "TR_6", From: "alice"}, {SID: "TR_9", From: "bob"}}},
	}})
	var got []string
	for _, m := range call.Members {
		for _, s := range m.Sends {
			got = append(got, m.Identity+" "+s.Source)
		}
		for _, g := range m.Gets {
			got = append(got, m.Identity+" "+g.Identity+" "+g.Source)
		}
	}
	want := []string{
		"bob camera", "bob microphone", "alice camera", "alice screen_share",
		"carol alice camera", "carol alice screen_share", "carol bob camera", "carol bob microphone",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
