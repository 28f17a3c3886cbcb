package identity

import (
	"context"
	"encoding/json"
	"strings"

	"causeway/homeserver/event"
)

// maxAuthorization bounds the header of a signed request, in bytes.
const maxAuthorization = 4 << 10

// SignedBy returns the homeserver that has signed a request by its Authorization header, "" when the header is of another scheme
// (Server-Server API, "Request Authentication"). uri is the path with the query. 403 M_FORBIDDEN when the signature does not hold.
func (s *Service) SignedBy(ctx context.Context, authorization, method, uri string, content []byte) (server string, err error) {
	scheme, fields, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "X-Matrix") {
		return "", nil
	}
	invalid := matrixError(403, "M_FORBIDDEN", "Invalid homeserver signature")
	if len(authorization) > maxAuthorization {
		return "", invalid
	}
	given := parseXMatrix(fields)
	origin, keyID, sig := given["origin"], given["key"], given["sig"]
	if destination, said := given["destination"]; said && !s.is(destination) || origin == "" || s.Keys == nil {
		return "", invalid
	}
	signed := map[string]any{
		"method": method, "uri": uri, "origin": origin, "content": json.RawMessage(content),
		"signatures": map[string]any{origin: map[string]any{keyID: sig}},
	}
	if destination, said := given["destination"]; said {
		signed["destination"] = destination
	}
	raw, err := json.Marshal(signed)
	if err != nil {
		return "", invalid
	}
	key, known := s.Keys(ctx, origin, keyID)
	if !known || event.VerifyJSON(raw, origin, keyID, key) != nil {
		return "", invalid
	}
	return origin, nil
}

// parseXMatrix reads the parameters of an X-Matrix header, quoted or not. RFC 9110, 11.4; what is malformed is left out.
func parseXMatrix(fields string) map[string]string {
	all := make(map[string]string)
	for fields != "" {
		name, rest, found := strings.Cut(fields, "=")
		if !found {
			break
		}
		var value string
		if rest, found = strings.CutPrefix(strings.TrimLeft(rest, " "), `"`); found {
			var b strings.Builder
			i := 0
			for ; i < len(rest) && rest[i] != '"'; i++ {
				if rest[i] == '\\' && i+1 < len(rest) {
					i++
				}
				b.WriteByte(rest[i])
			}
			value, rest = b.String(), rest[min(i+1, len(rest)):]
			_, fields, _ = strings.Cut(rest, ",")
		} else {
			value, fields, _ = strings.Cut(rest, ",")
		}
		all[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return all
}
