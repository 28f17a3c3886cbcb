package account

import (
	"fmt"
	"slices"
	"testing"

	"causeway/homeserver/mail"
	"causeway/homeserver/threepid"
)

// The flows of a registration with addresses: no flow is the beginning of another, or that other could not be completed.
func TestFlowsWithAddresses(t *testing.T) {
	dummy, token := Flow{[]string{typeDummy}}, Flow{[]string{typeRegistrationToken}}
	terms, tokenTerms := Flow{[]string{typeCaptcha, typeTerms}}, Flow{[]string{typeRegistrationToken, typeTerms}}
	for _, c := range []struct {
		email, sms, required bool
		flows                []Flow
		want                 string
	}{
		{false, false, true, []Flow{dummy}, "[{[m.login.dummy]}]"},
		{true, false, false, []Flow{dummy}, "[{[m.login.dummy]} {[m.login.email.identity]}]"},
		{true, false, true, []Flow{dummy}, "[{[m.login.email.identity]}]"},
		{true, false, true, []Flow{dummy, token}, "[{[m.login.email.identity]} {[m.login.registration_token m.login.email.identity]}]"},
		{true, true, true, []Flow{token}, "[{[m.login.registration_token m.login.email.identity]}]"},
		{true, true, false, []Flow{token}, "[{[m.login.registration_token]} {[m.login.email.identity m.login.registration_token]} {[m.login.msisdn m.login.registration_token]}]"},
		{true, false, false, []Flow{terms, tokenTerms}, "[{[m.login.recaptcha m.login.terms]} {[m.login.registration_token m.login.terms]} {[m.login.email.identity m.login.recaptcha m.login.terms]}]"},
		{true, false, true, []Flow{terms, tokenTerms}, "[{[m.login.email.identity m.login.recaptcha m.login.terms]} {[m.login.registration_token m.login.terms m.login.email.identity]}]"},
		{true, false, true, []Flow{tokenTerms}, "[{[m.login.registration_token m.login.terms m.login.email.identity]}]"},
		{false, true, false, []Flow{dummy, token}, "[{[m.login.dummy]} {[m.login.registration_token]} {[m.login.msisdn]}]"},
	} {
		var o mail.Options
		if c.email {
			o.Host = "127.0.0.1"
		}
		if c.sms {
			o.SMS.URL = "http://127.0.0.1"
		}
		s := &Service{cfg: Config{EmailRequired: c.required, Threepids: threepid.New(threepid.Options{Mail: mail.New(o)})}}
		got := s.withAddresses(c.flows)
		if text := fmt.Sprint(got); text != c.want {
			t.Errorf("got %s, want %s", text, c.want)
		}
		for i, a := range got {
			for j, b := range got {
				if i != j && len(a.Stages) <= len(b.Stages) && slices.Equal(a.Stages, b.Stages[:len(a.Stages)]) {
					t.Errorf("%v is the beginning of %v", a, b)
				}
			}
		}
	}
}
