package irc

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"
)

// tellSilenced tells those of us who may not speak on a further channel any more, or again, because of its bans and quiets: these do not
// show in the room, whose rules are those of its first channel. As any client of theirs on IRC would, they read on until they are kicked.
func (l *lane) tellSilenced(ctx context.Context, portal *bridgev2.Portal) error {
	if !l.scene.unread {
		return nil
	}
	for user, p := range l.scene.people {
		where := l.called() + " on " + l.net.name
		banned, quieted := l.fits(banEntry, p), l.fits(quietEntry, p)
		silenced := (banned || quieted) && p.rank == "" && !l.excepted(p)
		if silenced == l.scene.silenced[user] {
			continue
		}
		text := "You may speak on " + where + " again."
		switch {
		case silenced && banned:
			text = "You are banned from " + where + ". What you say here does not reach it; you read what is said there until you are kicked."
		case silenced:
			text = "You may not speak on " + where + ". What you say here does not reach it."
		}
		if err := (noticeItem{text: text, to: user}).deliver(ctx, l, portal); err != nil {
			return err
		}
		if l.scene.silenced == nil {
			l.scene.silenced = map[id.UserID]bool{}
		}
		if l.scene.silenced[user] = true; !silenced {
			delete(l.scene.silenced, user)
		}
	}
	return nil
}

// fits reports whether an entry of a kind is about somebody.
func (l *lane) fits(kind byte, p person) bool {
	return len(l.net.cfg.Casemapping.fitting(l.scene.lists[kind], p)) > 0
}
