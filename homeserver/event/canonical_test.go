package event

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestCanonicalJSON(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		// Appendices, "Canonical JSON", "Examples".
		{"spec: empty", `{}`, `{}`},
		{"spec: spaces", "{\n    \"one\": 1,\n    \"two\": \"Two\"\n}", `{"one":1,"two":"Two"}`},
		{"spec: order", `{ "b": "2", "a": "1" }`, `{"a":"1","b":"2"}`},
		{"spec: order, dense", `{"b":"2","a":"1"}`, `{"a":"1","b":"2"}`},
		{
			"spec: nested",
			`{"auth": {"success": true, "mxid": "@john.doe:example.com", "profile": {"display_name": "John Doe",
			 "three_pids": [{"medium": "email", "address": "john.doe@example.org"}, {"medium": "msisdn", "address": "123456789"}]}}}`,
			`{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":` +
				`[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}`,
		},
		{"spec: unicode value", `{"a": "日本語"}`, `{"a":"日本語"}`},
		{"spec: unicode keys", `{"本": 2, "日": 1}`, `{"日":1,"本":2}`},
		{"spec: escape", `{"a": "\u65E5"}`, `{"a":"日"}`},
		{"spec: null", `{"a": null}`, `{"a":null}`},
		{"spec: numbers", `{"a": -0, "b": 1e10}`, `{"a":0,"b":10000000000}`},

		{"not an object", ` [1 , "x", false] `, `[1,"x",false]`},
		{"empty array", `[ ]`, `[]`},
		{"all escapes", `"\"\\\/\b\f\n\r\t\u0000\u001F\u007f"`, `"\"\\/\b\f\n\r\t\u0000\u001f` + "\x7f\""},
		{"surrogate pair", `"\uD83D\uDE00"`, `"😀"`},
		{"order is of code points, not of UTF-16", `{"\uFFFD":1,"😀":2}`, `{"` + "\uFFFD" + `":1,"😀":2}`},
		{"order is of characters, not of their escapes", `{"b":1,"\n":2,"!":3,"\\":4}`, `{"\n":2,"!":3,"\\":4,"b":1}`},
		{"prefix sorts first", `{"ab":1,"a":2,"":3}`, `{"":3,"a":2,"ab":1}`},
		{"last duplicate stands", `{"a":1,"b":2,"a":{"c":3}}`, `{"a":{"c":3},"b":2}`},
		{"duplicate behind an escape", `{"a":1,"\u0061":2}`, `{"a":2}`},
		{"duplicate in order", `{"a":1,"a":2,"b":3}`, `{"a":2,"b":3}`},
		{"inner objects are sorted when the outer is not", `{"z":{"b":1,"a":2},"y":{"d":1,"c":{"f":1,"e":2}}}`, `{"y":{"c":{"e":2,"f":1},"d":1},"z":{"a":2,"b":1}}`},
		{"largest", `[9007199254740991,-9007199254740991]`, `[9007199254740991,-9007199254740991]`},
		{"exponents", `[1E2,-2e+3,0e5,-0e1,100e-2]`, `[100,-2000,0,0,1]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := CanonicalJSON([]byte(tc.in))
			if string(got) != tc.want || err != nil {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestCanonicalJSONErrors(t *testing.T) {
	for _, tc := range []struct{ name, in string }{
		{"nothing", ``},
		{"spaces only", ` `},
		{"two values", `{} {}`},
		{"unclosed object", `{"a":1`},
		{"unclosed array", `[1,`},
		{"unclosed string", `"abc`},
		{"unclosed escape", `"abc\`},
		{"trailing comma", `{"a":1,}`},
		{"trailing comma in an array", `[1,]`},
		{"key without quotes", `{a:1}`},
		{"no colon", `{"a" 1}`},
		{"no comma", `{"a":1 "b":2}`},
		{"leading zero", `01`},
		{"leading plus", `+1`},
		{"bare minus", `-`},
		{"bare point", `1.`},
		{"bare exponent", `1e`},
		{"infinity", `Infinity`},
		{"not a number", `NaN`},
		{"misspelt literal", `tru`},
		{"float", `1.5`},
		{"float that is an integer", `1.0`},
		{"fraction by exponent", `1e-1`},
		{"above the largest integer", `9007199254740992`},
		{"below the smallest integer", `-9007199254740992`},
		{"too large by exponent", `1e16`},
		{"enormous exponent", `1e999`},
		{"enormous integer", strings.Repeat("9", 400)},
		{"control character", "\"a\nb\""},
		{"invalid UTF-8", "\"\xff\""},
		{"overlong UTF-8", "\"\xc0\x80\""},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\""},
		{"lone high surrogate", `"\uD83D"`},
		{"lone low surrogate", `"\uDE00"`},
		{"high surrogate and a letter", `"\uD83D\u0041"`},
		{"unknown escape", `"\x41"`},
		{"short escape", `"\u41"`},
		{"byte order mark", "\xef\xbb\xbf{}"},
		{"NUL", "{}\x00"},
		{"too deep", strings.Repeat("[", MaxNesting+1) + strings.Repeat("]", MaxNesting+1)},
		{"too deep in objects", strings.Repeat(`{"a":`, MaxNesting+1) + "1" + strings.Repeat("}", MaxNesting+1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, err := CanonicalJSON([]byte(tc.in)); !errors.Is(err, ErrBadJSON) {
				t.Errorf("got %s, %v, want ErrBadJSON", got, err)
			}
		})
	}
}

func TestCanonicalJSONDeep(t *testing.T) {
	in := strings.Repeat(`{"a":[`, MaxNesting/2) + strings.Repeat("]}", MaxNesting/2)
	got, err := CanonicalJSON([]byte(in))
	if string(got) != in || err != nil {
		t.Errorf("got %.20s…, %v", got, err)
	}
}

// Versions 1 to 5 keep numbers that canonical JSON has no form for, in the form that the reference code gives them.
func TestCanonicalLooseNumbers(t *testing.T) {
	v := mustVersion(t, "5")
	for _, tc := range []struct{ name, in, want string }{
		{"integer", `12`, `12`},
		{"negative zero", `-0`, `0`},
		{"huge integer", `123456789012345678901234567890`, `123456789012345678901234567890`},
		{"float", `1.50`, `1.5`},
		{"whole float", `1.0`, `1.0`},
		{"negative zero float", `-0.0`, `-0.0`},
		{"exponent", `1e10`, `10000000000.0`},
		{"large", `1e16`, `1e+16`},
		{"small", `0.0001`, `0.0001`},
		{"smaller", `0.00001`, `1e-05`},
		{"huge", `1e100`, `1e+100`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := v.Canonical([]byte(tc.in))
			if string(got) != tc.want || err != nil {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
		})
	}
	if _, err := v.Canonical([]byte(`1e999`)); !errors.Is(err, ErrBadJSON) {
		t.Errorf("beyond a double: got %v, want ErrBadJSON", err)
	}
}

func TestFieldIsExact(t *testing.T) {
	obj := []byte(`{"Membership":"join","a\"b":1,"c":{"d":[1,{"e":"}"}],"f":"\\"},"g":null}`)
	for _, tc := range []struct{ key, want string }{
		{"membership", ""},
		{"Membership", `"join"`},
		{`a\"b`, "1"},
		{"c", `{"d":[1,{"e":"}"}],"f":"\\"}`},
		{"d", ""},
		{"g", "null"},
	} {
		if got := string(Field(obj, tc.key)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.key, got, tc.want)
		}
	}
}

func FuzzCanonicalJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"b":[1,2,{"z":null,"a":true}],"a":"\u00e9\ud83d\ude00"}`, `[1e3,-0,9007199254740991]`, `{"a":1,"a":2}`,
		`{"\n":1,"!":2,"\\":3}`, `"\u0000"`, ` { "x" : [ ] } `, `1.5`, `{"a":{"b":{"c":{}}}}`, "\"\xff\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, allowed := range []numbers{integers, plainIntegers, anyNumbers} {
			once, err := canonical(raw, allowed)
			if err != nil {
				continue
			}
			twice, err := canonical(once, allowed)
			if err != nil || string(twice) != string(once) {
				t.Fatalf("canonical form is not stable: %q then %q, %v", once, twice, err)
			}
			if allowed != anyNumbers && !reflect.DeepEqual(decodeAny(t, once), decodeAny(t, raw)) {
				t.Fatalf("the value changed: %q to %q", raw, once)
			}
		}
		// Readers of canonical JSON must survive anything.
		for k, v := range Members(raw) {
			_, _, _ = Unescape(k), Field(v, "a"), compareKeys(k, v)
		}
		for e := range Elements(raw) {
			_, _ = Text(e)
		}
	})
}

// decodeAny decodes with the standard library. It keeps numbers as float64, which is exact for all that strict JSON admits.
func decodeAny(t *testing.T, b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("encoding/json rejects %q: %v", b, err)
	}
	if v, ok := v.(float64); ok && v == 0 {
		return 0.0
	}
	return v
}
