package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"unicode/utf8"
)

// maxNesting bounds how deep arrays and objects of a body may lie in each
// other. Everything behind may then walk JSON recursively.
const maxNesting = 128

// checkObject makes sure that body is an object in UTF-8 and not nested too
// deep, and with whole also that it is valid JSON, which json.Unmarshal would
// find out otherwise.
func checkObject(body []byte, whole bool) error {
	if !utf8.Valid(body) {
		return NotJSON("The body is not UTF-8")
	}
	if !shallow(body) {
		return BadJSON("The body is nested more than %d deep", maxNesting)
	}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 {
		return NotJSON("The body is empty and should be JSON")
	}
	if trimmed[0] == '{' && !whole {
		return nil
	}
	if !json.Valid(body) {
		return NotJSON("The body is not JSON")
	}
	if trimmed[0] != '{' {
		return BadJSON("The body must be a JSON object")
	}
	return nil
}

// shallow tells whether arrays and objects lie within maxNesting of each other in
// body, whose JSON need not be valid.
func shallow(body []byte) bool {
	// Nearly every body has too few brackets to need a closer look.
	if bytes.Count(body, []byte("{"))+bytes.Count(body, []byte("[")) <= maxNesting {
		return true
	}
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxNesting {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// decodeError turns an error of json.Unmarshal into what the client sees.
func decodeError(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return BadJSON("The body must be %s", kindName(wrong.Type))
		}
		return BadJSON("%s must be %s", wrong.Field, kindName(wrong.Type))
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return NotJSON("The body is not JSON")
	}
	// What remains are errors of a type's own UnmarshalJSON or UnmarshalText.
	return BadJSON("The body has a value of the wrong form")
}

// kindName says in JSON's words what Go would have taken.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	}
	return "an object"
}
