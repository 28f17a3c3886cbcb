package threepid

import (
	"fmt"
	"net/url"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// ignore ends each letter: whoever has not asked for it need not do anything.
const ignore = "If you have not asked for this, you need do nothing: without you nothing happens. Do not pass this message on."

// letter says to an address what it is asked, or, when token is "", why it is not. owner is whose the address is, "" when nobody's.
func (s *Service) letter(purpose Purpose, session *store.ThreepidSession, token string, owner id.UserID) mail.Letter {
	if session.Medium == mail.MSISDN {
		return mail.Letter{Paragraphs: []string{s.textMessage(purpose, token)}}
	}
	if token == "" {
		return s.refusal(purpose, owner)
	}
	about := map[Purpose]struct{ subject, text string }{
		Register: {"Confirm your address", "Somebody wants to make an account on %s with this address. If that is you, confirm that the address is yours:"},
		Add:      {"Confirm your address", "Somebody wants to add this address to an account on %s. If that is you, confirm that the address is yours:"},
		Password: {"Choose a new password", "Somebody wants to choose a new password for your account on %s. If that is you, confirm it, and go on where you began:"},
		Reset:    {"Choose a new password", "Somebody wants to choose a new password for your account on %s. If that is you, follow this link within an hour:"},
		Identity: {"Confirm your address", "Somebody wants to be found on Matrix by this address, through %s. If that is you, confirm that the address is yours:"},
	}[purpose]
	path, linkText := ConfirmPath, "Confirm"
	if purpose == Reset {
		path, linkText = ResetPath, "Choose a new password"
	}
	query := url.Values{"sid": {session.SID}, "token": {token}}
	return mail.Letter{
		Subject:    about.subject + " (" + s.ServerName + ")",
		Paragraphs: []string{fmt.Sprintf(about.text, s.ServerName), ignore},
		Link:       s.PublicURL + path + "?" + query.Encode(), LinkText: linkText,
	}
}

func (s *Service) refusal(purpose Purpose, owner id.UserID) mail.Letter {
	text := fmt.Sprintf("Somebody wants to choose a new password on %s for an account with this address, but there is none. "+
		"If that is you, you may have registered with another address.", s.ServerName)
	subject := "There is no account with your address"
	if purpose != Password && purpose != Reset {
		text = fmt.Sprintf("Somebody wants to use this address for an account on %s, but it is that of %s already. "+
			"If that is you, log in with that account; if you have lost its password, you can choose a new one.", s.ServerName, owner)
		subject = "You have an account already"
	}
	return mail.Letter{Subject: subject + " (" + s.ServerName + ")", Paragraphs: []string{text, "If you have not asked for this, you need do nothing."}}
}

func (s *Service) textMessage(purpose Purpose, token string) string {
	switch {
	case token != "":
		return fmt.Sprintf("%s is your code for %s. Give it to nobody who asks you for it.", token, s.ServerName)
	case purpose == Password:
		return fmt.Sprintf("Somebody asked %s for a new password by this number, but it is that of no account there.", s.ServerName)
	}
	return fmt.Sprintf("Somebody wants to use this number on %s, but it is that of an account there already.", s.ServerName)
}
