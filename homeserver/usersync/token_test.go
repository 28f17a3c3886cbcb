package usersync

import "testing"

func TestSyncToken(t *testing.T) {
	tests := []struct {
		text string
		want syncToken
		form string // as it is written again
		bad  bool
	}{
		{text: "s0", want: syncToken{pos: 0, toDevice: 0}},
		{text: "s123", want: syncToken{pos: 123, toDevice: 123}},
		{text: "s123_d45", want: syncToken{pos: 123, toDevice: 45}},
		{text: "s123_d0", want: syncToken{pos: 123, toDevice: 0}},
		{text: "s123_d123", want: syncToken{pos: 123, toDevice: 123}, form: "s123"},
		{text: "s123_d500", want: syncToken{pos: 123, toDevice: 123}, form: "s123"},
		{text: "s9223372036854775807_d9223372036854775806", want: syncToken{pos: 1<<63 - 1, toDevice: 1<<63 - 2}},
		{text: "s123_t1700", want: syncToken{pos: 123, typing: 1700, toDevice: 123}},
		{text: "s123_d4_t1700", want: syncToken{pos: 123, typing: 1700, toDevice: 4}, form: "s123_t1700_d4"},
		{text: "s123_t1_t2", bad: true},
		{text: "", bad: true},
		{text: "s", bad: true},
		{text: "123", bad: true},
		{text: "s-1", bad: true},
		{text: "s1_", bad: true},
		{text: "s1_d", bad: true},
		{text: "s1_45", bad: true},
		{text: "s1_x45", bad: true},
		{text: "s1_d1_d1", bad: true},
		{text: "s1d1", bad: true},
		{text: "s9223372036854775808", bad: true},
	}
	for _, test := range tests {
		got, err := parseSyncToken("since", test.text)
		if test.bad {
			wantCode(t, err, "M_INVALID_PARAM")
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%s: got %+v and %v, want %+v", test.text, got, err, test.want)
		}
		if test.form == "" {
			test.form = test.text
		}
		if got.String() != test.form {
			t.Errorf("%s: written again as %s, want %s", test.text, got, test.form)
		}
	}
}

func FuzzSyncToken(f *testing.F) {
	for _, s := range []string{"s1", "s123_d45", "s1_", "s1_d", "_", "s1_d1_d1", "s1_t2", "s1_t2_d1", "s1_-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := parseSyncToken("since", s)
		if err != nil {
			return
		}
		if token.toDevice > token.pos || token.toDevice < 0 {
			t.Errorf("%q: %+v", s, token)
		}
		again, err := parseSyncToken("since", token.String())
		if err != nil || again != token {
			t.Errorf("%q: %+v, and again %+v, %v", s, token, again, err)
		}
	})
}
