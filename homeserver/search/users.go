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
	// maxCandidates bounds the users who are put into order, and maxSifted those who are looked at for it.
	maxCandidates, maxSifted = 400, 10_000
	// siftStep is how many are looked at in one go.
	siftStep = 256
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
		var nids []int64
		if nids, found.Limited, err = s.sift(tx, nid, prefixes); err == nil {
			candidates, err = inOrder(tx, nids)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	candidates = rankUsers(candidates, term)
	found.Limited = found.Limited || len(candidates) > int(limit)
	for _, u := range candidates[:min(len(candidates), int(limit))] {
		found.Results = append(found.Results, User{UserID: u.UserID, DisplayName: u.DisplayName, AvatarURL: u.AvatarURL})
	}
	return found, nil
}

// sift returns the users whom a search finds, in the order of the words by which the first prefix finds them: whoever has it as a whole
// word comes first. more tells that there may be others.
func (s *Service) sift(tx *store.Tx, asker int64, prefixes []string) (found []int64, more bool, err error) {
	seen := map[int64]bool{asker: true}
	last := store.UserWord{}
	for sifted := 0; sifted < maxSifted; sifted += siftStep {
		some, err := tx.UserWords(prefixes[0], last, siftStep)
		if err != nil {
			return nil, false, err
		}
		var users []int64
		for _, w := range some {
			if !seen[w.UserNID] {
				seen[w.UserNID] = true
				users = append(users, w.UserNID)
			}
		}
		for _, prefix := range prefixes[1:] {
			if users, err = keep(users, func() ([]int64, error) { return tx.WithPrefix(users, prefix) }); err != nil {
				return nil, false, err
			}
		}
		if !s.AllUsers {
			if users, err = keep(users, func() ([]int64, error) { return tx.InSight(users, asker) }); err != nil {
				return nil, false, err
			}
		}
		found = append(found, users...)
		switch {
		case len(found) > maxCandidates:
			return found[:maxCandidates], true, nil
		case len(some) < siftStep:
			return found, false, nil
		}
		last = some[len(some)-1]
	}
	return found, true, nil
}

// keep returns those of users, in their order, whom a query finds.
func keep(users []int64, query func() ([]int64, error)) ([]int64, error) {
	if len(users) == 0 {
		return nil, nil
	}
	found, err := query()
	if err != nil {
		return nil, err
	}
	is := make(map[int64]bool, len(found))
	for _, nid := range found {
		is[nid] = true
	}
	return slices.DeleteFunc(users, func(nid int64) bool { return !is[nid] }), nil
}

// inOrder returns the profiles of users in the order in which their integers are given.
func inOrder(tx *store.Tx, nids []int64) ([]store.FoundUser, error) {
	users, err := tx.FoundUsers(nids)
	place := make(map[int64]int, len(nids))
	for i, nid := range nids {
		place[nid] = i
	}
	slices.SortFunc(users, func(a, b store.FoundUser) int { return cmp.Compare(place[a.NID], place[b.NID]) })
	return users, err
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

// rankUsers puts users into order: first who is called exactly so, then those with a display name, then the others; and otherwise leaves
// them as they are.
func rankUsers(users []store.FoundUser, term string) []store.FoundUser {
	exact := strings.ToLower(strings.TrimSpace(term))
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
	slices.SortStableFunc(users, func(a, b store.FoundUser) int { return cmp.Compare(class(a), class(b)) })
	return users
}
