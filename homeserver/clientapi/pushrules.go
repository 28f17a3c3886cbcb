package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/push"
)

// pushRules is GET /pushrules/.
func (a *API) pushRules(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	return a.Push.Content(ctx, r.Requester.UserID)
}

// globalPushRules is GET /pushrules/global/.
func (a *API) globalPushRules(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (*push.Ruleset, error) {
	return a.Push.Ruleset(ctx, r.Requester.UserID)
}

// rule names the push rule in the path.
func rule(r *httpapi.Request) (push.Kind, string) { return push.Kind(r.Path("kind")), r.Path("ruleId") }

// pushRule is GET /pushrules/global/{kind}/{ruleId}.
func (a *API) pushRule(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (push.Rule, error) {
	kind, ruleID := rule(r)
	return a.Push.Rule(ctx, r.Requester.UserID, kind, ruleID)
}

// putPushRule is PUT /pushrules/global/{kind}/{ruleId}.
func (a *API) putPushRule(ctx context.Context, r *httpapi.Request, in push.RuleInput) (httpapi.Empty, error) {
	kind, ruleID := rule(r)
	return httpapi.Empty{}, a.Push.PutRule(ctx, r.Requester.UserID, kind, ruleID, in, r.Query("before"), r.Query("after"))
}

// deletePushRule is DELETE /pushrules/global/{kind}/{ruleId}.
func (a *API) deletePushRule(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	kind, ruleID := rule(r)
	return httpapi.Empty{}, a.Push.DeleteRule(ctx, r.Requester.UserID, kind, ruleID)
}

// pushRuleEnabled is GET /pushrules/global/{kind}/{ruleId}/enabled.
func (a *API) pushRuleEnabled(ctx context.Context, r *httpapi.Request, in httpapi.Empty) (enabled, error) {
	rule, err := a.pushRule(ctx, r, in)
	return enabled{rule.Enabled}, err
}

type setEnabledRequest struct {
	Enabled *bool `json:"enabled"`
}

// setPushRuleEnabled is PUT /pushrules/global/{kind}/{ruleId}/enabled.
func (a *API) setPushRuleEnabled(ctx context.Context, r *httpapi.Request, in setEnabledRequest) (httpapi.Empty, error) {
	if in.Enabled == nil {
		return httpapi.Empty{}, httpapi.MissingParam("enabled")
	}
	kind, ruleID := rule(r)
	return httpapi.Empty{}, a.Push.SetEnabled(ctx, r.Requester.UserID, kind, ruleID, *in.Enabled)
}

type pushRuleActions struct {
	Actions []json.RawMessage `json:"actions"`
}

// pushRuleActions is GET /pushrules/global/{kind}/{ruleId}/actions.
func (a *API) pushRuleActions(ctx context.Context, r *httpapi.Request, in httpapi.Empty) (pushRuleActions, error) {
	rule, err := a.pushRule(ctx, r, in)
	return pushRuleActions{rule.Actions}, err
}

// setPushRuleActions is PUT /pushrules/global/{kind}/{ruleId}/actions.
func (a *API) setPushRuleActions(ctx context.Context, r *httpapi.Request, in pushRuleActions) (httpapi.Empty, error) {
	kind, ruleID := rule(r)
	return httpapi.Empty{}, a.Push.SetActions(ctx, r.Requester.UserID, kind, ruleID, in.Actions)
}
