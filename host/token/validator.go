package token

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/authhost/authhost/host"
)

// Validator judges the JWTs of one realm. It implements host.TokenValidator
// and is safe for concurrent use.
type Validator struct {
	realm   string
	now     func() time.Time
	issuers map[string]*issuer
	order   []*issuer
	memory  memory
}

// issuer is one whose tokens the realm accepts.
type issuer struct {
	name           string
	audiences      []string
	algorithms     map[string]algorithm
	maxLife        time.Duration
	leeway         time.Duration
	roles          claimPath
	skipRevocation bool
	jwksURL        string
	keys           *keySource
}

// New returns a validator. An option that cannot be used, a file that cannot
// be read among them, is a *ConfigError. Sets from a URL are loaded by Run, or
// else when a token first needs one: an issuer that is away is no error here.
func New(o Options) (*Validator, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	tokens, err := newMemory(o.Remember)
	if err != nil {
		return nil, fmt.Errorf("memory of tokens: %w", err)
	}
	v := &Validator{realm: o.Realm, now: o.Now, issuers: map[string]*issuer{}, memory: tokens}
	for n, io := range o.Issuers {
		i, err := newIssuer(&o, io, fmt.Sprintf("issuers[%d]", n))
		if err != nil {
			return nil, err
		}
		v.issuers[i.name] = i
		v.order = append(v.order, i)
	}
	return v, nil
}

func newIssuer(o *Options, io IssuerOptions, at string) (*issuer, error) {
	roles, err := parseClaimPath(io.RolesClaim)
	if err != nil {
		return nil, err
	}
	i := &issuer{
		name:           io.Issuer,
		audiences:      io.Audiences,
		algorithms:     map[string]algorithm{},
		maxLife:        io.MaxTokenLife,
		leeway:         io.Leeway,
		roles:          roles,
		skipRevocation: io.SkipRevocation,
		jwksURL:        io.JWKSURL,
	}
	if i.maxLife == 0 {
		i.maxLife = DefaultMaxTokenLife
	}
	for _, name := range io.Algorithms {
		i.algorithms[name] = algorithms[name]
	}
	i.keys, err = newSource(o, io, at)
	return i, err
}

// newSource opens the issuer's keys: a file is read now, a URL is not.
func newSource(o *Options, io IssuerOptions, at string) (*keySource, error) {
	s := &keySource{
		parse:   parseSet,
		maxAge:  io.JWKSMaxAge,
		every:   o.FileInterval,
		gap:     o.MissInterval,
		timeout: o.FetchTimeout,
		now:     o.Now,
		log:     o.Logger.With("realm", o.Realm, "issuer", io.Issuer),
	}
	if s.maxAge == 0 {
		s.maxAge = DefaultJWKSMaxAge
	}
	s.state.Store(&keyState{})
	if io.JWKSURL != "" {
		// Half of its life is left to a set when the next is asked for.
		s.every, s.load = min(o.RefreshInterval, s.maxAge/2), fromURL(o.HTTPClient, io.JWKSURL)
		if u, err := url.Parse(io.JWKSURL); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
			s.log.Warn("key set fetched without TLS: whoever is on the way can replace it")
		}
		if o.Previous != nil {
			if old := o.Previous.issuers[io.Issuer]; old != nil && old.jwksURL == io.JWKSURL {
				s.state.Store(old.keys.state.Load())
			}
		}
		return s, nil
	}
	option, path := "jwks_file", io.JWKSFile
	if io.SecretFile != "" {
		option, path, s.parse = "secret_file", io.SecretFile, parseSecret
	}
	s.load = fromFile(path)
	s.reload(context.Background())
	if err := s.state.Load().err; err != nil {
		return nil, &ConfigError{at + "." + option, err.Error()}
	}
	return s, nil
}

// Run keeps the key sets fresh until ctx ends, and returns when nothing that
// it started runs any more. It is called once.
func (v *Validator) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, i := range v.order {
		all.Go(func() { i.keys.run(ctx) })
	}
	all.Wait()
}

// Ready returns the issuers whose key set cannot be judged by now, in the
// order of the configuration: it was never loaded, is too old, or is empty.
// It waits for nothing.
func (v *Validator) Ready(context.Context) []string {
	var failing []string
	now := v.now()
	for _, i := range v.order {
		if !i.keys.usable(i.keys.state.Load(), now) {
			failing = append(failing, i.name)
		}
	}
	return failing
}

// Validate judges one JWT; see the package's text for the verdicts and when
// one names somebody. Its error is a *host.Error of kind Unavailable. It may
// wait, no longer than ctx, for a key set to be loaded.
func (v *Validator) Validate(ctx context.Context, token string) (host.Validation, error) {
	if len(token) > maxLength {
		return host.Validation{Verdict: host.BadForm, Why: "it is longer than any gateway lets through"}, nil
	}
	id := digestOf(token)
	if known, ok := v.memory.recall(id, v.now()); ok {
		return known, nil
	}
	t, ok := parse(token)
	if !ok {
		return host.Validation{Verdict: host.BadForm, Why: "it is no signed JWT with alg and iss, or has crit or a member twice"}, nil
	}
	i, ok := v.issuers[t.issuer]
	if !ok {
		return host.Validation{Verdict: host.WrongIssuer, Why: "its iss is that of no issuer of the realm"}, nil
	}
	k, why, err := i.verify(ctx, t)
	if err != nil {
		return host.Validation{}, err
	}
	if k == nil {
		return host.Validation{Verdict: host.BadSignature, Why: why}, nil
	}
	g, verdict, why := i.judge(v.realm, t, v.now())
	if verdict == host.Valid {
		v.memory.keep(id, &remembered{grant: g, source: i.keys, key: k}, len(token))
	}
	return host.Validation{Verdict: verdict, Identity: g.identity, Why: why}, nil
}

// verify checks the signature and returns the key that made it; nil, and why,
// when it is not good.
func (i *issuer) verify(ctx context.Context, t *unverified) (k *key, why string, err error) {
	alg, allowed := i.algorithms[t.alg]
	if !allowed {
		return nil, "its alg is not among the issuer's algorithms", nil
	}
	if k, err = i.keys.find(ctx, t.alg, t.kid); err != nil {
		return nil, "", err
	}
	if k == nil {
		return nil, "the issuer's key set has not the one key that its kid and alg call for", nil
	}
	if alg.method.Verify(t.signed, t.signature, k.material) != nil {
		return nil, "the signature is not that of the issuer's key", nil
	}
	return k, "", nil
}
