package search

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	// maxUsers bounds the users of one answer, and defaultUsers is how many there are unless the client says otherwise.
	maxUsers, defaultUsers = 50, 10
	// maxUserWords bounds the words by which a user is found, and maxUserTerms what is looked for at once.
	maxUserWords, maxUserTerms = 64, 8
	// maxUserTermBytes bounds the text that is looked for.
	maxUserTermBytes = 512
	// maxCandidates bounds the rows that are put into order.
	maxCandidates = 400
	// maxUserBatch bounds the users whose words one transaction makes.
	maxUserBatch = 200
)

// User is a user whom the directory has found. Client-Server API, POST /user_directory/search.
type User struct {
	UserID      id.UserID `json:"user_id"`
	DisplayName string    `json:"display_name,omitempty"`
	AvatarURL   string    `json:"avatar_url,omitempty"`
}

// Users is what the directory has found.
type Users struct {
	Results []User `json:"results"`
	Limited bool   `json:"limited"` // there are more
}

// userWords returns the words by which a user is found: those of the display name and of the localpart, and the whole id. A display
// name is that of the profile: by what they call themselves in a room, nobody is found.
func userWords(u store.FoundUser) []string {
	userID := strings.ToLower(string(u.UserID))
	all := []string{clip(userID)}
	localpart, _, _ := strings.Cut(userID[1:], ":")
	add := func(term string) {
		if len(all) < maxUserWords && !slices.Contains(all, term) {
			all = append(all, term)
		}
	}
	add(clip(localpart))
	for _, text := range [...]string{localpart, u.DisplayName} {
		words(text, func(w word) bool { w.terms(add); return len(all) < maxUserWords })
	}
	return all
}

// indexUsers makes the words of some users whose names have changed. The caller has the turn.
func (s *Service) indexUsers(ctx context.Context) (more bool, err error) {
	var due []store.FoundUser
	err = s.DB.Peek(ctx, func(tx *store.Tx) (err error) {
		due, err = tx.UsersDue(maxUserBatch)
		return err
	})
	if err != nil || len(due) == 0 {
		return false, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		// Read once more: nobody changes a name now.
		due, err := tx.UsersDue(maxUserBatch)
		for _, u := range due {
			if err == nil {
				err = tx.SetUserWords(u.NID, userWords(u))
			}
		}
		return err
	})
	return len(due) == maxUserBatch, err
}

// FindUsers finds users by the beginnings of words of their display name or their id, those who are called exactly so first. The asker
// finds users with whom they share a room, and those who are in a room that anybody may join or read.
func (s *Service) FindUsers(ctx context.Context, asker id.UserID, term string, limit int64) (*Users, error) {
	if limit <= 0 {
		limit = defaultUsers
	}
	limit = min(limit, maxUsers)
	found := &Users{Results: []User{}}
	prefixes := userPrefixes(term)
	if len(prefixes) == 0 {
		return found, nil
	}
	if err := s.await(ctx); err != nil {
		return nil, err
	}
	var candidates []store.FoundUser
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.LookupNID(string(asker))
		if err != nil {
			return err
		}
		candidates, err = tx.FindUsers(store.FindUsersQuery{Prefixes: prefixes, Asker: nid, All: s.AllUsers, Limit: maxCandidates})
		return err
	})
	if err != nil {
		return nil, err
	}
	found.Limited = len(candidates) == maxCandidates
	candidates = rankUsers(candidates, term)
	found.Limited = found.Limited || len(candidates) > int(limit)
	for _, u := range candidates[:min(len(candidates), int(limit))] {
		found.Results = append(found.Results, User{UserID: u.UserID, DisplayName: u.DisplayName, AvatarURL: u.AvatarURL})
	}
	return found, nil
}

// userPrefixes returns what the words of a user must begin with, the longest first, as fewer users have that.
func userPrefixes(term string) []string {
	if len(term) > maxUserTermBytes {
		term = clipTo(term, maxUserTermBytes)
	}
	term = strings.TrimSpace(term)
	if strings.HasPrefix(term, "@") && len(term) > 1 && !strings.ContainsFunc(term, func(r rune) bool { return unicode.IsSpace(r) || r == 0 }) {
		return []string{clip(strings.ToLower(term))}
	}
	var all []string
	words(term, func(w word) bool {
		w.wanted(func(s string) {
			if len(all) < maxUserTerms && !slices.Contains(all, s) {
				all = append(all, s)
			}
		})
		return len(all) < maxUserTerms
	})
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return all
}

// rankUsers puts users into order, each once: first who is called exactly so, then who has a word that is it, then the others; and
// those with a display name before those without.
func rankUsers(users []store.FoundUser, term string) []store.FoundUser {
	exact := strings.ToLower(strings.TrimSpace(term))
	place := make(map[int64]int, len(users))
	kept := users[:0]
	for i, u := range users {
		if _, double := place[u.NID]; double {
			continue
		}
		place[u.NID] = i
		kept = append(kept, u)
	}
	class := func(u store.FoundUser) int {
		userID := strings.ToLower(string(u.UserID))
		localpart, _, _ := strings.Cut(userID[1:], ":")
		switch {
		case exact == userID || exact == localpart || exact == "@"+localpart || exact == strings.ToLower(u.DisplayName):
			return 0
		case u.DisplayName != "":
			return 1
		}
		return 2
	}
	slices.SortStableFunc(kept, func(a, b store.FoundUser) int {
		return cmp.Or(cmp.Compare(class(a), class(b)), cmp.Compare(place[a.NID], place[b.NID]))
	})
	return kept
}
