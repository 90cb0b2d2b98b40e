package token

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
)

// grant is what a properly signed token gives, and when.
type grant struct {
	identity *host.Identity
	from     time.Time // zero: at once; leeway included
	until    time.Time // leeway included
}

// verdict says whether now is within the grant.
func (g *grant) verdict(now time.Time) host.Verdict {
	switch {
	case !now.Before(g.until):
		return host.Expired
	case now.Before(g.from):
		return host.NotYetValid
	}
	return host.Valid
}

// judge reads the claims of a token whose signature is good. The grant names
// someone unless the claims cannot be read: one that was made for too long is
// malformed, and still says whom it is of. Where the verdict alone does not
// say what is wrong, why does.
func (i *issuer) judge(realm string, t *unverified, now time.Time) (g grant, verdict host.Verdict, why string) {
	subject, ok := name(t.claims["sub"])
	if !ok {
		return grant{}, host.BadForm, "its sub is missing, or no text"
	}
	expires, ok := numericDate(t.claims["exp"])
	if !ok {
		return grant{}, host.BadForm, "its exp is missing, or no number of seconds"
	}
	g = grant{until: expires.Add(i.leeway)}
	made := now
	var issued time.Time
	if v, present := t.claims["iat"]; present {
		if issued, ok = numericDate(v); !ok {
			return grant{}, host.BadForm, "its iat is no number of seconds"
		}
		g.from, made = issued.Add(-i.leeway), issued
	}
	if v, present := t.claims["nbf"]; present {
		from, ok := numericDate(v)
		if !ok {
			return grant{}, host.BadForm, "its nbf is no number of seconds"
		}
		if from = from.Add(-i.leeway); from.After(g.from) {
			g.from = from
		}
	}
	g.identity = i.identity(realm, subject, t)
	g.identity.IssuedAt, g.identity.Expires = issued, expires
	if expires.Sub(made) > i.maxLife {
		return g, host.BadForm, "it was made for longer than max_token_life"
	}
	verdict = g.verdict(now)
	if verdict == host.Valid && !i.intended(t.claims["aud"]) {
		return g, host.WrongAudience, "its aud names none of the issuer's audiences"
	}
	return g, verdict, ""
}

// intended says whether one of the issuer's audiences is among the token's.
func (i *issuer) intended(aud any) bool {
	return slices.ContainsFunc(texts(aud), func(a string) bool { return slices.Contains(i.audiences, a) })
}

func (i *issuer) identity(realm, subject string, t *unverified) *host.Identity {
	id := &host.Identity{
		Realm:          realm,
		Issuer:         i.name,
		Subject:        subject,
		UserID:         host.UserID(realm, i.name, subject),
		Roles:          texts(i.roles.in(t.claims)),
		Groups:         texts(t.claims["groups"]),
		Claims:         t.claims,
		TokenKey:       tokenKey(i.name, t),
		Leeway:         i.leeway,
		SkipRevocation: i.skipRevocation,
	}
	if t.claims["email_verified"] == true {
		id.Email, _ = t.claims["email"].(string)
	}
	return id
}

// tokenKey names one token: by its jti, which only its issuer keeps unique,
// or else by what was signed. The signature has no part in it, since an ECDSA
// one can be written in two ways.
func tokenKey(issuer string, t *unverified) string {
	jti, _ := t.claims["jti"].(string)
	if jti == "" {
		sum := sha256.Sum256([]byte(t.signed))
		return "tok:" + hex.EncodeToString(sum[:])
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(len(issuer)))
	sum := sha256.Sum256(append(append(b, issuer...), jti...))
	return "jti:" + hex.EncodeToString(sum[:])
}

// lastDate is the end of the year 9999, the last that RFC 3339 can write.
const lastDate = 253402300799

// numericDate reads seconds since 1970 (RFC 7519, 2), fractions included.
func numericDate(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || !(f >= 0 && f <= lastDate) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true
}

// texts reads a claim that is a text or a list of texts. Anything else, a list
// with something else in it too, is nothing; empty texts are left out.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case []any:
		list := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil
			}
			if s != "" {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// claimPath leads from the claims to one value in them.
type claimPath []string

// parseClaimPath reads the name of a claim or a JSON Pointer (RFC 6901).
func parseClaimPath(text string) (claimPath, error) {
	if text == "" {
		text = DefaultRolesClaim
	}
	rest, pointer := strings.CutPrefix(text, "/")
	if !pointer {
		return claimPath{text}, nil
	}
	path := claimPath(strings.Split(rest, "/"))
	for i, p := range path {
		plain := strings.NewReplacer("~0", "", "~1", "").Replace(p)
		if strings.Contains(plain, "~") {
			return nil, errors.New("in a JSON Pointer ~ is written ~0 and / inside a name ~1")
		}
		path[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	return path, nil
}

// in returns the value that the path leads to, nil if there is none.
func (p claimPath) in(claims map[string]any) any {
	var at any = claims
	for _, step := range p {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			i, err := strconv.ParseUint(step, 10, 31)
			if err != nil || int(i) >= len(v) || strconv.FormatUint(i, 10) != step {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}
