package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"causeway/bridges/process"
)

// A bridge whose process crashes whenever it is started is down, for those who list and for the doctor.
func TestBridgeIsDown(t *testing.T) {
	down := &process.Status{Crashes: 10, Down: true, LastWords: "exit status 2; its last words: panic: out of tea"}
	all := servicesStatus{Running: true, Services: []serviceStatus{
		{ID: "irc", URL: "http://irc.bridge", BuiltIn: true, Followed: true, Pending: true, Process: down},
		{ID: "fine", URL: "http://fine.bridge", BuiltIn: true, Followed: true, Process: &process.Status{PID: 1}},
	}}
	var list bytes.Buffer
	if err := printServices(&list, all, "/registration", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" down\n", "irc: its process has crashed 10 times in a row: exit status 2; its last words: panic: out of tea\n"} {
		if !strings.Contains(list.String(), want) {
			t.Errorf("got the list\n%s\nwant in it %q", list.String(), want)
		}
	}
	if strings.Contains(list.String(), "fine: ") {
		t.Errorf("got the list\n%s\nwant nothing about what is fine", list.String())
	}
	report := servicesReport{servicesStatus: all}
	report.late(time.Now())
	if len(report.Problems) != 1 || report.Problems[0].Service != "irc" || !strings.Contains(report.Problems[0].Text, "out of tea") {
		t.Errorf("got the problems %+v", report.Problems)
	}
}
