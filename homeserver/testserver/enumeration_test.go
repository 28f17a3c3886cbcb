package testserver_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/store"
)

// rows counts the rows of some tables, which is the work that a request has left behind it.
func (s *script) rows(tables ...string) string {
	s.t.Helper()
	var all []string
	for _, table := range tables {
		var n int
		err := s.DB.View(s.t.Context(), func(tx *store.Tx) error {
			_, err := tx.Row(`SELECT COUNT(*) FROM `+table, nil, &n)
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, table+" "+strconv.Itoa(n))
	}
	return strings.Join(all, ", ")
}

var madeUp = regexp.MustCompile(`[A-Z2-7]{26,}`)

// TestRequestsTellNothing has people be written to for all purposes, at an address that is an account's and at one that is nobody's: the
// answers, the limits and what is done are the same. One session begins, and one letter waits, whatever it says.
func TestRequestsTellNothing(t *testing.T) {
	box := newMailbox(t)
	for _, purpose := range []string{
		"nobody POST /account/password/email/requestToken", "nobody POST /register/email/requestToken", "nobody POST /account/3pid/email/requestToken",
		"bob POST /account/3pid/email/requestToken",
	} {
		t.Run(strings.ReplaceAll(purpose, "/", " "), func(t *testing.T) {
			each(t, "alice bob", func(s *script) {
				s.ownAddress("alice", "alice@example.org")
				want := ""
				for _, address := range []string{"alice@example.org", "nobody@example.org"} {
					got := ""
					for attempt := range 7 {
						before := s.rows("threepid_sessions", "outbox")
						a := s.ask(purpose, `{"client_secret":"s`+strconv.Itoa(attempt)+`","email":"`+address+`","send_attempt":1}`)
						got += before + " -> " + strconv.Itoa(a.Status) + " " + madeUp.ReplaceAllString(string(a.Body), "x") + "\n"
					}
					if strings.Count(got, "200") != 5 || strings.Count(got, "M_LIMIT_EXCEEDED") != 2 {
						t.Errorf("%s:\n%s", address, got)
					}
					if err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
						for _, table := range []string{"threepid_sessions", "outbox"} {
							if _, err := tx.Exec(`DELETE FROM ` + table); err != nil {
								return err
							}
						}
						return nil
					}); err != nil {
						t.Fatal(err)
					}
					if want == "" {
						want = got
					}
					if got != want {
						t.Errorf("%s:\n%s\nwant\n%s", address, got, want)
					}
				}
			}, box.configure)
		})
	}
}

// ownAddress gives an account an address that nobody has published.
func (s *script) ownAddress(user, address string) {
	s.t.Helper()
	err := s.DB.Write(s.t.Context(), func(tx *store.Tx) error {
		nid, err := tx.NID(s.words[user])
		if err != nil {
			return err
		}
		return tx.InsertThreepid(nid, store.Threepid{Medium: "email", Address: address})
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestInvitesTellNothing invites and looks up an address that is an account's, and not published, and one that is nobody's.
func TestInvitesTellNothing(t *testing.T) {
	box := newMailbox(t)
	each(t, "alice bob", func(s *script) {
		s.atIdentity("alice")
		s.ownAddress("bob", "b@example.org")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"private_chat"}`, "room_id")
		s.words["pepper"] = s.text("alice-id GET "+ids+"/v2/hash_details", "", "lookup_pepper")
		key := regexp.MustCompile(`"(public_key|token)":"[^"]*"`)
		want := ""
		for _, address := range []string{"b@example.org", "n@example.org"} {
			got := ""
			for _, request := range [][2]string{
				{"alice POST /rooms/<room>/invite", `{"id_server":"test","id_access_token":"<alice token>","medium":"email","address":"` + address + `"}`},
				{"alice-id POST " + ids + "/v2/store-invite", `{"medium":"email","address":"` + address + `","room_id":"<room>","sender":"<alice>"}`},
				{"alice-id POST " + ids + "/v2/lookup", `{"algorithm":"none","pepper":"<pepper>","addresses":["` + address + ` email"]}`},
			} {
				before := s.rows("identity_invites", "outbox", "memberships")
				a := s.ask(request[0], request[1])
				got += strconv.Itoa(a.Status) + " " + key.ReplaceAllString(string(a.Body), "$1") + "\n"
				if a.Status != 200 {
					t.Errorf("%s: %d %s", request[0], a.Status, a.Body)
				}
				if after := s.rows("identity_invites", "outbox", "memberships"); strings.HasSuffix(request[0], "invite") && after == before {
					t.Errorf("%s has done nothing", request[0])
				}
			}
			got = strings.ReplaceAll(strings.ReplaceAll(got, "n...", "x..."), "b...", "x...")
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%s:\n%s\nwant\n%s", address, got, want)
			}
		}
		if got := s.rows("identity_invites", "outbox"); got != "identity_invites 4, outbox 4" {
			t.Errorf("there are %s", got)
		}
	}, box.configure, func(c *homeserver.Config) { c.Identity.PlainLookup = true })
}
