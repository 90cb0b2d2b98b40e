package credential

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/authhost/authhost/host"
)

// MaxLength is the longest token, in bytes, that is not Malformed.
const MaxLength = 16 << 10

// Source is one place to look at: exactly one of Header, Cookie and Query.
type Source struct {
	Header string         // the header's name, in any letter case
	Cookie string         // the cookie's name, exactly
	Query  string         // the parameter's name, decoded
	Paths  []host.Pattern // where Query counts; needed there, and only there
}

// Options configure a Finder.
type Options struct {
	Sources []Source // in the order in which they are looked at

	// Every lists each value of a source that appears more than once, instead
	// of one Malformed credential: for a logout, which is to end whatever is
	// presented and lets nobody in.
	Every bool
}

// Finder lists the credentials of a request. It is immutable and safe for
// concurrent use. It implements host.Finder.
type Finder struct {
	sources []source
	every   bool
}

type source struct {
	from  host.Source
	name  string
	paths []host.Pattern
}

// New returns a Finder for one realm. A source that names nothing, two things
// or no valid name, one that is listed twice, and a query parameter without
// paths are errors.
func New(o Options) (*Finder, error) {
	f := &Finder{sources: make([]source, 0, len(o.Sources)), every: o.Every}
	for i, in := range o.Sources {
		s, err := newSource(in)
		if err != nil {
			return nil, fmt.Errorf("credentials[%d]: %w", i, err)
		}
		if slices.ContainsFunc(f.sources, func(o source) bool { return o.from == s.from && o.name == s.name }) {
			return nil, fmt.Errorf("credentials[%d]: %s %s is listed twice", i, s.from, s.name)
		}
		f.sources = append(f.sources, s)
	}
	return f, nil
}

func newSource(in Source) (source, error) {
	var list []source
	if in.Header != "" {
		list = append(list, source{from: host.FromHeader, name: http.CanonicalHeaderKey(in.Header)})
	}
	if in.Cookie != "" {
		list = append(list, source{from: host.FromCookie, name: in.Cookie})
	}
	if in.Query != "" {
		list = append(list, source{from: host.FromQuery, name: in.Query, paths: in.Paths})
	}
	if len(list) != 1 {
		return source{}, errors.New("name exactly one of header, cookie and query")
	}
	s := list[0]
	switch {
	case !host.IsToken(s.name):
		return source{}, fmt.Errorf("%s name %q is not a token (RFC 9110, section 5.6.2)", s.from, s.name)
	case s.from == host.FromHeader && (s.name == "Cookie" || s.name == "Host"):
		return source{}, fmt.Errorf("header %s cannot carry a credential", s.name)
	case s.from == host.FromQuery && len(in.Paths) == 0:
		return source{}, fmt.Errorf("query %s needs paths: a token in a URL is for where nothing else will do", s.name)
	case s.from != host.FromQuery && len(in.Paths) > 0:
		return source{}, fmt.Errorf("%s %s: only a query parameter is bound to paths", s.from, s.name)
	}
	return s, nil
}

// Find appends the credentials that are present in r to dst, in the order of
// the sources, and returns the query with those that it read struck out. A
// source that appears twice is one Malformed credential, unless Every.
func (f *Finder) Find(r *host.Request, dst []host.Credential) ([]host.Credential, string) {
	query := r.RawQuery
	for i := range f.sources {
		s := &f.sources[i]
		var v values
		switch s.from {
		case host.FromHeader:
			header(r.Header, s.name, &v)
		case host.FromCookie:
			cookie(r.Header["Cookie"], s.name, &v)
		case host.FromQuery:
			if query != "" && s.covers(r.Path) {
				query = strike(query, s.name, &v)
			}
		}
		if v.times > 1 && f.every {
			for _, value := range append(v.more, v.last) {
				dst = append(dst, s.credential(value))
			}
		} else if v.times == 1 {
			dst = append(dst, s.credential(v.last))
		} else if v.times > 1 {
			dst = append(dst, host.Credential{Source: s.from, Name: s.name})
		}
	}
	return dst, query
}

// credential says of what kind a value is.
func (s *source) credential(value string) host.Credential {
	c := host.Credential{Source: s.from, Name: s.name}
	if c.Kind = kindOf(value); c.Kind != host.Malformed {
		c.Value = value
	}
	return c
}

func (s *source) covers(path string) bool {
	for i := range s.paths {
		if s.paths[i].Match(path) {
			return true
		}
	}
	return false
}

// What a byte may be part of.
const (
	visible = 1 << iota // any token
	base64u             // base64url, and the dot between its parts
)

var classes = func() (t [256]byte) {
	for c := byte(0x21); c < 0x7f; c++ {
		t[c] = visible
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' {
			t[c] |= base64u
		}
	}
	return t
}()

// kindOf says what form a token has.
func kindOf(token string) host.CredentialKind {
	if token == "" || len(token) > MaxLength {
		return host.Malformed
	}
	all := common(token)
	switch {
	case all&visible == 0:
		return host.Malformed
	case strings.HasPrefix(token, "ahs_"):
		return host.Session
	case strings.HasPrefix(token, "aht_"):
		return host.AccessToken
	case all&base64u != 0 && threeParts(token):
		return host.JWT
	}
	return host.Malformed
}

// common returns what every byte of token may be part of. It takes eight bytes
// a turn, since this is most of the work on a request with a JWT.
func common(token string) byte {
	all := byte(visible | base64u)
	for ; len(token) >= 8; token = token[8:] {
		all &= classes[token[0]] & classes[token[1]] & classes[token[2]] & classes[token[3]] &
			classes[token[4]] & classes[token[5]] & classes[token[6]] & classes[token[7]]
	}
	for i := range len(token) {
		all &= classes[token[i]]
	}
	return all
}

// threeParts says whether token is three parts, none empty, with dots between.
func threeParts(token string) bool {
	first, rest, _ := strings.Cut(token, ".")
	second, third, _ := strings.Cut(rest, ".")
	return first != "" && second != "" && third != "" && strings.IndexByte(third, '.') < 0
}
