package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// bigClient carries the requests of a big run: one connection for each writer.
var bigClient = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{MaxIdleConnsPerHost: 256},
}

// writerOnMatrix is a Matrix user who only writes, and tries again until that is acknowledged.
type writerOnMatrix struct {
	p     *crowd
	name  string
	token string
	room  *bigRoom
	count int
}

// newWriter makes an account that joins the room of a channel.
func (p *crowd) newWriter(name string, room *bigRoom) *writerOnMatrix {
	p.t.Helper()
	w := &writerOnMatrix{p: p, name: name, token: p.server.registerHTTP(p.t, name), room: room}
	var joined struct {
		RoomID string `json:"room_id"`
	}
	path := "/_matrix/client/v3/join/" + url.PathEscape(channelAlias(network, room.channel))
	p.server.do(p.t, "POST", path, w.token, map[string]any{}).decode(p.t, &joined)
	room.id = joined.RoomID
	return w
}

// say sends a line until the server has acknowledged it. It reports false when the server refuses it or the test ends.
func (w *writerOnMatrix) say(line string) bool {
	w.count++
	path := fmt.Sprintf("/_matrix/client/v3/rooms/%s/send/m.room.message/big%d", url.PathEscape(w.room.id), w.count)
	body, _ := json.Marshal(map[string]string{"msgtype": "m.text", "body": line})
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for began := time.Now(); time.Since(began) < patience; {
		switch status := w.request("PUT", path, body, nil); {
		case status == http.StatusOK:
			return true
		case status >= 400 && status < 500:
			w.p.t.Errorf("%s says %q: %d", w.name, line, status)
			return false
		}
		select {
		case <-again.C:
		case <-w.p.t.Context().Done():
			return false
		}
	}
	w.p.t.Errorf("%s says %q in vain for %v", w.name, line, patience)
	return false
}

// request returns the status, or 0 when there is none.
func (w *writerOnMatrix) request(method, path string, body []byte, out any) int {
	request, err := http.NewRequestWithContext(w.p.t.Context(), method, w.p.server.url(path), bytes.NewReader(body))
	if err != nil {
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+w.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := bigClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0
	}
	if out != nil && json.Unmarshal(answer, out) != nil {
		return 0
	}
	return response.StatusCode
}

// page reads messages of the room, newest first.
func (w *writerOnMatrix) page(from string, limit int) (lines []spoken, end string) {
	var page struct {
		Chunk []matrixEvent `json:"chunk"`
		End   string        `json:"end"`
	}
	query := url.Values{"dir": {"b"}, "limit": {itoa(limit)}}
	if from != "" {
		query.Set("from", from)
	}
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(w.room.id) + "/messages?" + query.Encode()
	if status := w.request("GET", path, nil, &page); status != http.StatusOK {
		w.p.t.Errorf("read the history of %s: %d", w.room.channel, status)
		return nil, ""
	}
	for _, e := range page.Chunk {
		switch {
		case e.Type == "m.room.message" && e.text("msgtype") == "m.text":
			lines = append(lines, spoken{string(e.Sender), e.text("body")})
		case e.Type == "m.room.message":
			w.room.notices = append(w.room.notices, e.text("body"))
		}
	}
	return lines, page.End
}

// onMatrix is all that was said in a room, oldest first.
func (r *bigRoom) onMatrix() []spoken {
	var all []spoken
	for from := ""; ; {
		lines, end := r.people[0].page(from, 500)
		all = append(all, lines...)
		if end == "" {
			slices.Reverse(all)
			return all
		}
		from = end
	}
}

// onIRC is all that was said in the channel but by near, who listens.
func (r *bigRoom) onIRC() []spoken {
	entries, _ := r.near.lines.from(r.position)
	var all []spoken
	for _, m := range entries {
		if m.Command == "PRIVMSG" && strings.EqualFold(m.Params[0], r.channel) {
			all = append(all, spoken{m.Nick(), m.Params[1]})
		}
	}
	return all
}

// tally counts what became of lines.
type tally struct{ lines, lost, doubled, outOfOrder, strange int }

func (a *tally) add(b tally) {
	a.lines += b.lines
	a.lost += b.lost
	a.doubled += b.doubled
	a.outOfOrder += b.outOfOrder
	a.strange += b.strange
}

// count compares what somebody said with what was heard of it.
func count(said, heard []string) tally {
	c := tally{lines: len(said)}
	place := map[string]int{}
	for i, line := range said {
		place[line] = i
	}
	times, latest := map[string]int{}, -1
	for _, line := range heard {
		at, known := place[line]
		if !known {
			c.strange++
			continue
		}
		if times[line]++; times[line] > 1 {
			c.doubled++
			continue
		}
		if at < latest {
			c.outOfOrder++
		}
		latest = max(latest, at)
	}
	c.lost = len(said) - len(times)
	return c
}

// check waits until everything has arrived, or nothing more comes, and counts.
func (p *crowd) check() {
	p.t.Helper()
	said := time.Since(p.began)
	p.settle()
	arrived := time.Since(p.began)
	var toIRC, toMatrix tally
	for _, r := range p.rooms {
		onIRC, onMatrix := r.onIRC(), bySender(r.onMatrix())
		for _, w := range r.people {
			c := count(p.linesOf(w.name), ofPuppet(onIRC, w.name))
			p.report("IRC heard of "+w.name, c)
			if p.tellLost(p.linesOf(w.name), ofPuppet(onIRC, w.name)) {
				p.t.Logf("the bridge has told %s: %q", r.channel, r.notices[:min(len(r.notices), 20)])
			}
			toIRC.add(c)
			user := "@" + w.name + ":" + serverName
			p.report("the room has of "+w.name, count(p.linesOf(w.name), onMatrix[user]))
			delete(onMatrix, user)
		}
		for _, c := range []*ircClient{r.near, r.far} {
			sender := string(ghost(c.nick))
			got := count(p.linesOf(c.nick), onMatrix[sender])
			p.report("the room has of "+c.nick, got)
			toMatrix.add(got)
			delete(onMatrix, sender)
		}
		for sender, lines := range onMatrix {
			p.t.Errorf("%s has %d lines of %s, who said nothing; the first is %q", r.channel, len(lines), sender, lines[0])
		}
	}
	p.t.Logf("%d people on Matrix in %d channels, %d times kill -9, %d drops, netsplit: %t", p.size.puppets, p.size.channels, p.size.kills, p.size.drops, p.size.split)
	p.t.Logf("Matrix to IRC: %+v", toIRC)
	p.t.Logf("IRC to Matrix: %+v", toMatrix)
	p.t.Logf("all was said after %v and had arrived after %v", said.Round(time.Second), arrived.Round(time.Second))
}

func (p *crowd) report(what string, c tally) {
	if c.lost+c.doubled+c.outOfOrder+c.strange > 0 {
		p.t.Errorf("%s: %+v", what, c)
	}
}

// tellLost names the first lines that nobody has heard.
func (p *crowd) tellLost(said, heard []string) bool {
	p.t.Helper()
	there := map[string]bool{}
	for _, line := range heard {
		there[line] = true
	}
	lost := slices.DeleteFunc(slices.Clone(said), func(line string) bool { return there[line] })
	if len(lost) > 0 {
		p.t.Logf("lost is %q", lost[:min(len(lost), 5)])
	}
	return len(lost) > 0
}

func bySender(lines []spoken) map[string][]string {
	all := map[string][]string{}
	for _, line := range lines {
		all[line.sender] = append(all[line.sender], line.text)
	}
	return all
}

// ofPuppet are the lines of a Matrix user, under any of the nicks that they had.
func ofPuppet(onIRC []spoken, name string) []string {
	var lines []string
	for _, line := range onIRC {
		if strings.HasPrefix(line.sender, name+nickEnd) {
			lines = append(lines, line.text)
		}
	}
	return lines
}

// settle waits until nobody hears anything new.
func (p *crowd) settle() {
	last, since := "", time.Now()
	look := time.NewTicker(5 * time.Second) // it is work for the server
	defer look.Stop()
	for time.Since(since) < patience {
		now, complete := p.progress()
		if complete {
			return
		}
		if now != last {
			last, since = now, time.Now()
		}
		<-look.C
	}
}

// progress is the state of all rooms in words, and whether everybody's last line is there.
func (p *crowd) progress() (string, bool) {
	state, complete := "", true
	for _, r := range p.rooms {
		if r.complete {
			continue
		}
		all := complete
		complete = true
		newest, _ := r.people[0].page("", 200)
		for _, c := range []*ircClient{r.near, r.far} {
			lines := p.linesOf(c.nick)
			complete = complete && slices.ContainsFunc(newest, func(s spoken) bool { return s.text == lines[len(lines)-1] })
		}
		onIRC := r.onIRC()
		for _, w := range r.people {
			lines := p.linesOf(w.name)
			complete = complete && slices.ContainsFunc(onIRC, func(s spoken) bool { return s.text == lines[len(lines)-1] })
		}
		if len(newest) > 0 {
			state += newest[0].text
		}
		state += itoa(len(onIRC))
		r.complete = complete
		complete = complete && all
	}
	return state, complete
}
