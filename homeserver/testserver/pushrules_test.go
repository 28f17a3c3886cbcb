package testserver_test

import "testing"

// TestPushRules makes, changes and deletes push rules. Client-Server API, "Push Rules: API".
func TestPushRules(t *testing.T) {
	each(t, "alice bob", func(s *script) { s.run(pushRuleSteps) })
}

const cake = "/pushrules/global/content/cake"

var pushRuleSteps = []step{
	{"all", "alice GET /pushrules/", ``, 200, "global/override:array global/content:array global/room:array global/sender:array global/underride:array", ""},
	{"those of all devices", "alice GET /pushrules/global/", ``, 200, "override/0/rule_id=.m.rule.master override/0/enabled=false override/0/default=true content:array", ""},
	{"without the slash", "alice GET /pushrules/global", ``, 200, "override:array", ""},
	{"none yet", "alice GET " + cake, ``, 404, "M_NOT_FOUND", ""},
	{"nothing to switch", "alice PUT " + cake + "/enabled", `{"enabled":true}`, 404, "M_NOT_FOUND", ""},
	{"nothing to change", "alice PUT " + cake + "/actions", `{"actions":[]}`, 404, "M_NOT_FOUND", ""},
	{"nothing to delete", "alice DELETE " + cake, ``, 404, "M_NOT_FOUND", ""},
	{"is it on", "alice GET " + cake + "/enabled", ``, 404, "M_NOT_FOUND", ""},
	{"what does it do", "alice GET " + cake + "/actions", ``, 404, "M_NOT_FOUND", ""},
	{"no kind", "alice GET /pushrules/global/nonsense/x", ``, 404, "M_NOT_FOUND", ""},
	{"a rule of no kind", "alice PUT /pushrules/global/nonsense/x", `{"actions":[]}`, 400, "M_INVALID_PARAM", ""},
	{"actions of the wrong type", "alice PUT " + cake, `{"pattern":"cake","actions":"notify"}`, 400, "M_BAD_JSON", ""},
	{"without a pattern", "alice PUT " + cake, `{"actions":["notify"]}`, 400, "M_MISSING_PARAM", ""},
	{"without actions", "alice PUT " + cake, `{"pattern":"cake"}`, 400, "M_MISSING_PARAM", ""},
	{"set", "alice PUT " + cake, `{"pattern":"cake","actions":["notify",{"set_tweak":"sound","value":"x"}]}`, 200, "{}", ""},
	{"get", "alice GET " + cake, ``, 200, "rule_id=cake default=false enabled=true pattern=cake actions/1/value=x conditions:absent", ""},
	{"on", "alice GET " + cake + "/enabled", ``, 200, "enabled=true", ""},
	{"off", "alice PUT " + cake + "/enabled", `{"enabled":false}`, 200, "{}", ""},
	{"is off", "alice GET " + cake + "/enabled", ``, 200, "enabled=false", ""},
	{"neither on nor off", "alice PUT " + cake + "/enabled", `{}`, 400, "M_MISSING_PARAM", ""},
	{"on of the wrong type", "alice PUT " + cake + "/enabled", `{"enabled":"yes"}`, 400, "M_BAD_JSON", ""},
	{"actions", "alice GET " + cake + "/actions", ``, 200, "actions/0=notify actions/1/set_tweak=sound", ""},
	{"other actions", "alice PUT " + cake + "/actions", `{"actions":[]}`, 200, "{}", ""},
	{"no actions", "alice PUT " + cake + "/actions", `{}`, 400, "M_MISSING_PARAM", ""},
	{"are there", "alice GET " + cake + "/actions", ``, 200, "actions:empty", ""},
	{"a rule of the server", "alice PUT /pushrules/global/override/.m.rule.master/enabled", `{"enabled":true}`, 200, "{}", ""},
	{"its actions", "alice PUT /pushrules/global/underride/.m.rule.message/actions", `{"actions":["notify"]}`, 200, "{}", ""},
	{"a name that is the server's", "alice PUT /pushrules/global/content/.mine", `{"pattern":"x","actions":[]}`, 400, "M_INVALID_PARAM", ""},
	{"to delete one of the server's", "alice DELETE /pushrules/global/override/.m.rule.master", ``, 400, "M_INVALID_PARAM", ""},
	{"before none", "alice PUT /pushrules/global/content/x?before=none", `{"pattern":"x","actions":[]}`, 400, "M_UNKNOWN", ""},
	{"before another", "alice PUT /pushrules/global/content/first?before=cake", `{"pattern":"x","actions":[]}`, 200, "{}", ""},
	{"are in order", "alice GET /pushrules/global/", ``, 200, "content/0/rule_id=first content/1/rule_id=cake", ""},
	{"of one user", "bob GET " + cake, ``, 404, "M_NOT_FOUND", ""},
	{"without a token", "nobody GET " + cake, ``, 401, "M_MISSING_TOKEN", ""},
	{"delete", "alice DELETE " + cake, ``, 200, "{}", ""},
	{"gone", "alice GET " + cake, ``, 404, "M_NOT_FOUND", ""},
}
