package token

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The defaults of Options and IssuerOptions, used where the field is zero.
const (
	DefaultJWKSMaxAge      = 24 * time.Hour
	DefaultMaxTokenLife    = 24 * time.Hour
	DefaultRolesClaim      = "roles"
	DefaultRefreshInterval = 5 * time.Minute
	DefaultMissInterval    = 30 * time.Second
	DefaultFileInterval    = time.Second
	DefaultFetchTimeout    = 5 * time.Second
	DefaultRemember        = 50_000
)

// Options says whose tokens a realm accepts and how its key sets are kept.
// Zero durations, and the other zero values named below, stand for defaults.
type Options struct {
	Realm   string
	Issuers []IssuerOptions

	Now        func() time.Time // time.Now when nil
	Logger     *slog.Logger     // nothing is logged when nil
	HTTPClient *http.Client     // fetches key sets; when nil, one that stays on the URL's scheme

	RefreshInterval time.Duration // between loads of a set from a URL
	MissInterval    time.Duration // at most one load in it is caused by tokens, whatever kid they name
	FileInterval    time.Duration // between looks at a file
	FetchTimeout    time.Duration // of one load

	// Remember bounds the memory of verified tokens: this many of up to 2 KiB
	// each, a longer one counting for several. Negative: none is remembered.
	Remember int

	// Previous, if set, is the validator that this one replaces: sets from a
	// URL that both use are taken over, so that a new configuration needs no
	// issuer to be up.
	Previous *Validator
}

// IssuerOptions is one entry of a realm's issuers. Exactly one of JWKSURL,
// JWKSFile and SecretFile is set: the last for HS* algorithms, the others for
// public keys.
type IssuerOptions struct {
	Issuer     string   // compared byte for byte with the claim "iss"
	Audiences  []string // one of them must be in the claim "aud"
	Algorithms []string // the allow-list

	JWKSURL    string
	JWKSFile   string
	SecretFile string // at least 32 bytes; one trailing newline does not count

	JWKSMaxAge   time.Duration // how long the last good set serves
	MaxTokenLife time.Duration // exp - iat, or exp - now without iat
	RolesClaim   string        // a name, or a JSON Pointer (RFC 6901)
	Leeway       time.Duration // clock difference granted; zero grants none

	// SkipRevocation is handed on in every Identity.
	SkipRevocation bool
}

// ConfigError is an option that cannot be used.
type ConfigError struct {
	Key     string // as in the realm's configuration, such as issuers[0].algorithms
	Problem string
}

// Error returns the key and the problem.
func (e *ConfigError) Error() string { return e.Key + ": " + e.Problem }

// withDefaults returns o with every zero value replaced.
func (o Options) withDefaults() Options {
	fill := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.HTTPClient == nil {
		o.HTTPClient = defaultClient()
	}
	if o.Remember == 0 {
		o.Remember = DefaultRemember
	}
	fill(&o.RefreshInterval, DefaultRefreshInterval)
	fill(&o.MissInterval, DefaultMissInterval)
	fill(&o.FileInterval, DefaultFileInterval)
	fill(&o.FetchTimeout, DefaultFetchTimeout)
	return o
}

// check refuses what could not be served safely. Its error is a *ConfigError.
func (o Options) check() error {
	if o.Realm == "" {
		return &ConfigError{"name", "a realm needs a name"}
	}
	first := map[string]int{}
	for i := range o.Issuers {
		at := fmt.Sprintf("issuers[%d]", i)
		if err := o.Issuers[i].check(at); err != nil {
			return err
		}
		if j, ok := first[o.Issuers[i].Issuer]; ok {
			return &ConfigError{at + ".issuer", fmt.Sprintf("is issuers[%d] again: list all audiences in one entry", j)}
		}
		first[o.Issuers[i].Issuer] = i
	}
	return nil
}

func (o *IssuerOptions) check(at string) error {
	if o.Issuer == "" {
		return &ConfigError{at + ".issuer", "is required"}
	}
	if len(o.Audiences) == 0 || slices.Contains(o.Audiences, "") {
		return &ConfigError{at + ".audiences", "list at least one, none of them empty: a token for another service must not pass here"}
	}
	if err := o.checkKeys(at); err != nil {
		return err
	}
	if _, err := parseClaimPath(o.RolesClaim); err != nil {
		return &ConfigError{at + ".roles_claim", err.Error()}
	}
	for key, d := range map[string]time.Duration{"jwks_max_age": o.JWKSMaxAge, "max_token_life": o.MaxTokenLife, "leeway": o.Leeway} {
		if d < 0 {
			return &ConfigError{at + "." + key, "must not be negative"}
		}
	}
	return nil
}

// checkKeys holds the algorithms to the one source of keys that fits them.
func (o *IssuerOptions) checkKeys(at string) error {
	shared, err := o.sharedSecret(at)
	if err != nil {
		return err
	}
	switch {
	case shared && o.SecretFile == "":
		return &ConfigError{at + ".secret_file", "is required with HS algorithms"}
	case shared && o.JWKSURL != "":
		return &ConfigError{at + ".jwks_url", "cannot be used with HS algorithms: only secret_file can"}
	case shared && o.JWKSFile != "":
		return &ConfigError{at + ".jwks_file", "cannot be used with HS algorithms: only secret_file can"}
	case shared:
		return nil
	case o.SecretFile != "":
		return &ConfigError{at + ".secret_file", "is for HS algorithms alone: use jwks_url or jwks_file"}
	case o.JWKSURL != "" && o.JWKSFile != "":
		return &ConfigError{at + ".jwks_file", "cannot be used beside jwks_url"}
	case o.JWKSFile != "":
		return nil
	case o.JWKSURL == "":
		return &ConfigError{at + ".jwks_url", "is required, or jwks_file"}
	}
	u, err := url.Parse(o.JWKSURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return &ConfigError{at + ".jwks_url", "is not an absolute http or https URL"}
	}
	return nil
}

// sharedSecret says whether the algorithms sign with a shared secret.
func (o *IssuerOptions) sharedSecret(at string) (bool, error) {
	at += ".algorithms"
	if len(o.Algorithms) == 0 {
		return false, &ConfigError{at, "list at least one"}
	}
	secrets := 0
	for _, name := range o.Algorithms {
		a, ok := algorithms[name]
		switch {
		case strings.EqualFold(name, "none"):
			return false, &ConfigError{at, `"none" is no signature: anyone could be anyone`}
		case !ok:
			return false, &ConfigError{at, fmt.Sprintf("%q is not known: use %s", name,
				strings.Join(slices.Sorted(maps.Keys(algorithms)), ", "))}
		case a.kind == kindSecret:
			secrets++
		}
	}
	if secrets > 0 && secrets < len(o.Algorithms) {
		return false, &ConfigError{at, "HS algorithms beside public-key ones would let a public key pass for a secret"}
	}
	return secrets > 0, nil
}
