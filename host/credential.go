package host

import "context"

// Source says where in a request a credential was found.
type Source uint8

// The sources. Their numbers are part of the plugin ABI.
const (
	FromHeader Source = 1
	FromCookie Source = 2
	FromQuery  Source = 3
)

var sourceNames = [...]string{"", "header", "cookie", "query"}

// String returns the source's name: header, cookie or query.
func (s Source) String() string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return ""
}

// CredentialKind says what form a credential has.
type CredentialKind uint8

// The kinds of credential. Their numbers are part of the plugin ABI.
const (
	Malformed   CredentialKind = 0 // none of the others
	JWT         CredentialKind = 1 // three dot-separated parts
	Session     CredentialKind = 2 // prefix ahs_
	AccessToken CredentialKind = 3 // prefix aht_
)

var credentialKindNames = [...]string{"malformed", "jwt", "session", "access_token"}

// String returns the kind's name: malformed, jwt, session or access_token.
func (k CredentialKind) String() string {
	if int(k) < len(credentialKindNames) {
		return credentialKindNames[k]
	}
	return ""
}

// Credential is something in a request that claims an identity.
type Credential struct {
	Source Source
	Name   string // of the header, cookie or query parameter
	Kind   CredentialKind
	Value  string // the token; a secret, empty when malformed
}

// Label returns source/kind, such as header/jwt, as headers and logs show a
// credential; empty for the zero Credential.
func (c Credential) Label() string {
	if c.Source == 0 {
		return ""
	}
	if int(c.Source) < len(labels) && int(c.Kind) < len(labels[0]) {
		return labels[c.Source][c.Kind]
	}
	return ""
}

var labels = func() (l [len(sourceNames)][len(credentialKindNames)]string) {
	for s := range l {
		for k := range l[s] {
			l[s][k] = Source(s).String() + "/" + CredentialKind(k).String()
		}
	}
	return l
}()

// Verdict is what validation said of one credential.
type Verdict uint8

// The verdicts. Their numbers are part of the plugin ABI.
const (
	Untried       Verdict = 0
	Valid         Verdict = 1
	BadForm       Verdict = 2 // malformed
	BadSignature  Verdict = 3
	Expired       Verdict = 4
	NotYetValid   Verdict = 5
	WrongIssuer   Verdict = 6
	WrongAudience Verdict = 7
	Unknown       Verdict = 8
	Revoked       Verdict = 9
)

var verdictNames = [...]string{"untried", "valid", "malformed", "bad_signature", "expired",
	"not_yet_valid", "wrong_issuer", "wrong_audience", "unknown", "revoked"}

// String returns the verdict's name, such as bad_signature.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return ""
}

// Validation is the result of judging one credential. The zero value is
// Untried and names nobody.
type Validation struct {
	Verdict Verdict
	// Identity is whom a Valid credential stands for. With any other verdict
	// it is whom a properly signed but unusable one names, or nil.
	Identity *Identity
	// Why says what the verdict alone does not, such as which claim is missing.
	// It is for operators, and quotes nothing of the credential.
	Why string
	// Touch, when set, is to be called once the credential was used and not
	// only looked at: it moves a session's idle deadline. It may fail.
	Touch func(ctx context.Context)
}
