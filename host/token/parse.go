package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"
)

// maxLength bounds a token, in bytes: no header of a sound gateway holds more.
const maxLength = 16 << 10

// unverified is a token taken apart. Nothing in it may be believed before the
// signature was checked, but for the choice of whose key to check it with.
type unverified struct {
	alg, kid  string
	issuer    string
	claims    map[string]any
	signed    string // header and payload as they were signed
	signature []byte
}

// parse takes a token in compact serialization apart (RFC 7515, 7.1). It
// allocates nothing before the form is known to be right.
func parse(token string) (*unverified, bool) {
	first, second, ok := dots(token)
	if !ok {
		return nil, false
	}
	header, ok := decodeObject(token[:first])
	if !ok {
		return nil, false
	}
	// No extension is understood, so that none can be critical (RFC 7515,
	// 4.1.11). What else the header names, keys by "jwk", "jku" or "x5u" above
	// all, is not looked at.
	if _, critical := header["crit"]; critical {
		return nil, false
	}
	t := &unverified{signed: token[:second]}
	if t.alg, ok = header["alg"].(string); !ok || t.alg == "" {
		return nil, false
	}
	if kid, present := header["kid"]; present {
		if t.kid, ok = kid.(string); !ok {
			return nil, false
		}
	}
	if t.claims, ok = decodeObject(token[first+1 : second]); !ok {
		return nil, false
	}
	if t.issuer, ok = name(t.claims["iss"]); !ok {
		return nil, false
	}
	if t.signature, ok = decodePart(token[second+1:]); !ok {
		return nil, false
	}
	return t, true
}

// dots returns where the two dots of a token are, provided that it has two and
// all else is of the base64url alphabet.
func dots(token string) (first, second int, ok bool) {
	if len(token) > maxLength {
		return 0, 0, false
	}
	first, second = -1, -1
	for i := range len(token) {
		switch c := token[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c != '.':
			return 0, 0, false
		case first < 0:
			first = i
		case second < 0:
			second = i
		default:
			return 0, 0, false
		}
	}
	return first, second, second > 0
}

// strict refuses set bits after the last byte, so that a part has one spelling.
var strict = base64.RawURLEncoding.Strict()

func decodePart(part string) ([]byte, bool) {
	raw, err := strict.DecodeString(part)
	return raw, err == nil
}

// decodeObject reads a part that is one JSON object. A member named twice is
// refused, as RFC 7515 (4) and RFC 7519 (4) allow: another reader of the same
// token might believe the other one.
func decodeObject(part string) (map[string]any, bool) {
	raw, ok := decodePart(part)
	if !ok || !utf8.Valid(raw) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var object map[string]any
	if dec.Decode(&object) != nil || object == nil || len(object) != members(raw) {
		return nil, false
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, false
	}
	return object, true
}

// members counts the members of a JSON object that is known to be well formed.
func members(object []byte) (n int) {
	depth := 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ':':
			if depth == 1 {
				n++
			}
		case '"':
			for i++; i < len(object) && object[i] != '"'; i++ {
				if object[i] == '\\' {
					i++
				}
			}
		}
	}
	return n
}

// name reads a text that names someone: not empty, and without the character
// that a broken escape turns into, lest two names become one.
func name(v any) (string, bool) {
	s, ok := v.(string)
	return s, ok && s != "" && !strings.ContainsRune(s, utf8.RuneError)
}
