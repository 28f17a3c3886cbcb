// Package push holds the push rules of the users: which events concern them and how (Client-Server API, Push
// Notifications). clientapi calls it to read and change rules, usersync to show them, and room to judge each event as it is stored
// (Judge). What the judgement is counted for, usersync shows. It never sends anything.
package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// AccountDataType is the type of account data that shows the push rules.
const AccountDataType = "m.push_rules"

// maxRulesBytes bounds the rules of one user as JSON.
const maxRulesBytes = 128 << 10

// Service reads and changes push rules.
type Service struct {
	Config
	book     *book
	rosters  rosters
	settings settings
}

// Config is what a Service needs.
type Config struct {
	DB  *store.DB
	Bus notify.Bus // it is rung when rules change
	// LegacyMentions adds the default rules that guess from the text of a message whom it mentions.
	LegacyMentions bool
	// ThreadSubscriptions adds the default rules by which users hear of the threads that they follow, and of no others (MSC4306).
	ThreadSubscriptions bool
}

// New returns a Service.
func New(c Config) *Service {
	s := &Service{Config: c, book: newBook(c.LegacyMentions, c.ThreadSubscriptions)}
	c.DB.WatchAccountData(s.settings.watch)
	return s
}

// Ruleset returns the rules of a user.
func (s *Service) Ruleset(ctx context.Context, user id.UserID) (rules *Ruleset, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		rules, err = s.read(tx, user)
		return err
	})
	return rules, err
}

// Rule returns one rule of a user. Errors: M_NOT_FOUND, M_INVALID_PARAM for an unknown kind.
func (s *Service) Rule(ctx context.Context, user id.UserID, kind Kind, ruleID string) (Rule, error) {
	rules, err := s.Ruleset(ctx, user)
	if err != nil {
		return Rule{}, err
	}
	rule, err := rules.find(kind, ruleID)
	if err != nil {
		return Rule{}, err
	}
	return *rule, nil
}

// PutRule adds or changes a rule of the user's own. before and after are the ids of rules to stand next to, or "". Errors:
// M_INVALID_PARAM, M_MISSING_PARAM, M_TOO_LARGE, and M_UNKNOWN (400) when there is no rule to stand next to.
func (s *Service) PutRule(ctx context.Context, user id.UserID, kind Kind, ruleID string, in RuleInput, before, after string) error {
	rule, err := in.rule(kind, ruleID)
	if err != nil {
		return err
	}
	return s.change(ctx, user, func(rules *Ruleset) error { return rules.put(kind, rule, before, after) })
}

// DeleteRule removes a rule of the user's own. Errors: M_NOT_FOUND, M_INVALID_PARAM for a default rule.
func (s *Service) DeleteRule(ctx context.Context, user id.UserID, kind Kind, ruleID string) error {
	return s.change(ctx, user, func(rules *Ruleset) error { return rules.remove(kind, ruleID) })
}

// SetEnabled turns any rule on or off. Errors: M_NOT_FOUND.
func (s *Service) SetEnabled(ctx context.Context, user id.UserID, kind Kind, ruleID string, enabled bool) error {
	return s.change(ctx, user, func(rules *Ruleset) error {
		rule, err := rules.find(kind, ruleID)
		if err == nil {
			rule.Enabled = enabled
		}
		return err
	})
}

// SetActions replaces the actions of any rule. Errors: M_NOT_FOUND, M_INVALID_PARAM.
func (s *Service) SetActions(ctx context.Context, user id.UserID, kind Kind, ruleID string, actions []json.RawMessage) error {
	actions, err := checkActions(actions)
	if err != nil {
		return err
	}
	return s.change(ctx, user, func(rules *Ruleset) error {
		rule, err := rules.find(kind, ruleID)
		if err == nil {
			rule.Actions = actions
		}
		return err
	})
}

// AccountData returns the content of the m.push_rules event of a user, stored being the content of the account data of that
// type, or nil when there is none (Client-Server API, Push Rules: Events). A user who never changed a rule has none stored.
func (s *Service) AccountData(user id.UserID, stored json.RawMessage) (json.RawMessage, error) {
	rules, err := s.book.merge(user, stored)
	if err != nil {
		return nil, err
	}
	return marshal(rules)
}

// Content returns all rules of a user in the form of the m.push_rules event and of GET /pushrules/.
func (s *Service) Content(ctx context.Context, user id.UserID) (json.RawMessage, error) {
	rules, err := s.Ruleset(ctx, user)
	if err != nil {
		return nil, err
	}
	return marshal(rules)
}

// content is what the account data holds.
type content struct {
	Global *Ruleset `json:"global"`
}

func marshal(rules *Ruleset) (json.RawMessage, error) {
	raw, err := json.Marshal(content{Global: rules})
	if err != nil {
		return nil, fmt.Errorf("marshal push rules: %w", err)
	}
	return raw, nil
}

func (s *Service) read(tx *store.Tx, user id.UserID) (*Ruleset, error) {
	stored, err := tx.AccountData(user, 0, AccountDataType)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return s.book.merge(user, stored)
}

// change lets edit work on a user's rules and stores the result.
func (s *Service) change(ctx context.Context, user id.UserID, edit func(*Ruleset) error) error {
	var signal notify.Signal
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		rules, err := s.read(tx, user)
		if err != nil {
			return err
		}
		if err := edit(rules); err != nil {
			return err
		}
		raw, err := marshal(rules)
		if err != nil {
			return err
		}
		if len(raw) > maxRulesBytes {
			return matrixError(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "The push rules are larger than %d bytes", maxRulesBytes)
		}
		nid, pos, err := tx.SetAccountData(user, 0, AccountDataType, raw)
		signal = notify.Signal{Key: notify.Key{Kind: notify.User, NID: nid}, Pos: pos}
		return err
	})
	if err != nil {
		return err
	}
	s.Bus.Publish(signal)
	return nil
}

func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}
