package account

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
)

// FallbackPage is what a page shows on which a stage of user-interactive authentication is completed by people whose client does not know
// the stage (Client-Server API, "Fallback").
type FallbackPage struct {
	Stage   string
	Session string
	// What is the operation that somebody proves who they are for, and User who that must be. Both are "" for stages that prove nothing
	// of the kind.
	What, User string
	Policies   []Document // of m.login.terms: what is to be accepted
	PublicKey  string     // of m.login.recaptcha
	ScriptURL  string     // of m.login.recaptcha
	Problem    string     // what was wrong with the last attempt, "" for the first
	Done       bool
}

// Fallback returns the page of a stage. Errors: 404 M_NOT_FOUND for a stage that there is not; 400 M_INVALID_PARAM for a session that
// cannot be.
func (s *Service) Fallback(stage, session, language string) (FallbackPage, error) {
	page := FallbackPage{Stage: stage, Session: session}
	switch stage {
	case typeDummy, typeRegistrationToken:
	case typeTerms:
		page.Policies = s.policiesIn(language)
	case typeCaptcha:
		page.PublicKey, page.ScriptURL = s.cfg.Rules.Captcha.PublicKey, s.cfg.Rules.Captcha.ScriptURL
	case typePassword:
		op, ok := s.uia.askedFor(session, s.now())
		if !ok {
			return page, invalidParam("There is no such session, or it has expired")
		}
		page.User = string(op.user)
		page.What, _, _ = strings.Cut(op.name, ": ")
	default:
		return page, notFound("There is no such stage")
	}
	if stage == typeCaptcha && page.PublicKey == "" || stage == typeTerms && len(page.Policies) == 0 {
		return page, notFound("There is no such stage")
	}
	if !isSession(session) {
		return page, invalidParam("There is no such session, or it has expired")
	}
	return page, nil
}

// policiesIn returns the documents in a language, or else in English, or in whatever language there is.
func (s *Service) policiesIn(language string) []Document {
	var all []Document
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Rules.Terms)) {
		languages := s.cfg.Rules.Terms[name].Languages
		for _, code := range append([]string{language, "en"}, slices.Sorted(maps.Keys(languages))...) {
			if doc, ok := languages[code]; ok {
				all = append(all, doc)
				break
			}
		}
	}
	return all
}

// FallbackAnswer is what somebody entered on such a page.
type FallbackAnswer struct {
	Password, Token, Captcha string
	Accepted                 bool
	ClientIP                 string
}

// CompleteFallback completes a stage by what was entered on its page. The page it returns is to be shown next: Done, or with a Problem.
// Errors: as those of Fallback; M_LIMIT_EXCEEDED.
func (s *Service) CompleteFallback(ctx context.Context, stage, session, language string, in FallbackAnswer) (FallbackPage, error) {
	page, err := s.Fallback(stage, session, language)
	if err != nil {
		return page, err
	}
	if !in.Accepted && stage == typeTerms {
		page.Problem = "You have to accept these to go on."
		return page, nil
	}
	op := operation{clientIP: in.ClientIP}
	if stage == typePassword {
		op, _ = s.uia.askedFor(session, s.now())
		op.clientIP = in.ClientIP
	}
	auth := &AuthData{Type: stage, Session: session, Password: in.Password, User: string(op.user), Token: in.Token, Response: in.Captcha}
	done := &uiaSession{id: session}
	if stage == typePassword {
		done = s.uia.get(op, session, s.now())
	}
	if err := stages[stage](s, ctx, op, done, auth); err != nil {
		var failed *stageError
		if !errors.As(err, &failed) {
			return page, err
		}
		page.Problem = failed.message
		return page, nil
	}
	if stage == typePassword {
		if !slices.Contains(done.completed, stage) {
			done.completed = append(slices.Clone(done.completed), stage)
		}
		s.uia.put(op, done, s.now())
	} else {
		s.uia.completeAside(session, stage, done.token, s.now())
	}
	page.Done = true
	return page, nil
}
