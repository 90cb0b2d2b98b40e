package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
	"github.com/authhost/authhost/host/config"
	"github.com/authhost/authhost/host/credential"
	"github.com/authhost/authhost/host/login"
	"github.com/authhost/authhost/host/session"
	"github.com/authhost/authhost/host/token"
)

// firstLoad bounds how long a reload waits for key sets that are new, so that
// requests do not meet a realm that cannot judge them yet.
const firstLoad = 5 * time.Second

// realm is one tenant's rooms, and the goroutine that keeps its keys fresh.
type realm struct {
	entry    config.Realm
	tokens   *token.Validator
	sessions *session.Store
	host     *host.Realm
	login    *login.Realm
	admin    *admin.Realm
	cancel   context.CancelFunc
	ended    chan struct{}
}

// stop ends the realm's goroutine.
func (r *realm) stop() {
	r.cancel()
	<-r.ended
}

// makeRealms makes the realms of a configuration, using again those that are
// as they were.
func (d *Daemon) makeRealms(c *config.Config, running *assembly, m *nearCache) (map[string]*realm, error) {
	next := &assembly{realms: make(map[string]*realm, len(c.Realms))}
	for i, entry := range c.Realms {
		old := running.realms[entry.Name]
		if old != nil && m == running.near && reflect.DeepEqual(old.entry, entry) {
			next.realms[entry.Name] = old
			continue
		}
		r, err := d.makeRealm(entry, old, m)
		if err != nil {
			for _, r := range next.realmsMissingFrom(running) {
				r.stop()
			}
			key := fmt.Sprintf("realms[%d]", i)
			if wrong, ok := errors.AsType[*token.ConfigError](err); ok {
				return nil, c.Problem(key+"."+wrong.Key, errors.New(wrong.Problem))
			}
			return nil, c.Problem(key, err)
		}
		next.realms[entry.Name] = r
	}
	return next.realms, nil
}

func (d *Daemon) makeRealm(entry config.Realm, old *realm, m *nearCache) (*realm, error) {
	r := &realm{entry: entry, ended: make(chan struct{})}
	var err error
	if r.tokens, err = token.New(d.tokenOptions(entry, old)); err != nil {
		return nil, err
	}
	var life time.Duration
	for _, i := range entry.Issuers {
		life = max(life, i.MaxTokenLife+i.Leeway)
	}
	fast, through := d.handles(m)
	if r.sessions, err = session.New(session.Options{
		Realm: entry.Name, Cache: fast, Through: through, Now: d.now, Logger: d.log, TokenLife: life, Teller: d.teller,
		MaxSessions: entry.Session.MaxSessions, WhenFull: whenFull[entry.Session.WhenFull],
		Idle: entry.Session.Idle, Absolute: entry.Session.Absolute, OutliveToken: entry.Session.OutliveToken,
	}); err != nil {
		return nil, err
	}
	var sources []credential.Source
	for _, s := range entry.Credentials {
		sources = append(sources, credential.Source{Header: s.Header, Cookie: s.Cookie, Query: s.Query, Paths: s.Paths})
	}
	finder, err := credential.New(credential.Options{Sources: sources})
	if err != nil {
		return nil, err
	}
	bearer, err := credential.New(credential.Options{Sources: []credential.Source{{Header: "Authorization"}}})
	if err != nil {
		return nil, err
	}
	presented, err := credential.New(credential.Options{Sources: sources, Every: true})
	if err != nil {
		return nil, err
	}
	r.login = &login.Realm{Bearer: bearer, Finder: presented, Tokens: r.tokens, Sessions: r.sessions.Direct(), Cookie: login.Cookie{
		Name: entry.Session.Cookie.Name, SameSite: sameSite[entry.Session.Cookie.SameSite], InsecureHTTP: entry.Session.Cookie.InsecureHTTP,
	}}
	r.admin = &admin.Realm{Name: entry.Name, AdminRole: entry.Roles.Admin, Finder: finder, Bearer: bearer, Tokens: r.tokens, Sessions: r.sessions.Direct()}
	r.host = &host.Realm{Name: entry.Name, Hosts: entry.Hosts, Finder: finder, Tokens: r.tokens, Sessions: r.sessions, Revoked: r.sessions}

	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.ended)
		r.tokens.Run(ctx)
	}()
	return r, nil
}

var sameSite = map[string]http.SameSite{
	config.SameSiteStrict: http.SameSiteStrictMode,
	config.SameSiteLax:    http.SameSiteLaxMode,
	config.SameSiteNone:   http.SameSiteNoneMode,
}

var whenFull = map[string]session.WhenFull{
	config.WhenFullEndOldest: session.EndOldest,
	config.WhenFullRefuse:    session.Refuse,
}

func (d *Daemon) tokenOptions(entry config.Realm, old *realm) token.Options {
	o := token.Options{Realm: entry.Name, Now: d.now, Logger: d.log}
	if old != nil {
		o.Previous = old.tokens
	}
	for _, i := range entry.Issuers {
		o.Issuers = append(o.Issuers, token.IssuerOptions{
			Issuer: i.Issuer, Audiences: i.Audiences, Algorithms: i.Algorithms,
			JWKSURL: i.JWKSURL, JWKSFile: i.JWKSFile, SecretFile: i.SecretFile,
			JWKSMaxAge: i.JWKSMaxAge, MaxTokenLife: i.MaxTokenLife, RolesClaim: i.RolesClaim, Leeway: i.Leeway,
			SkipRevocation: i.Revocation == config.RevocationInsecureSkip,
		})
	}
	return o
}

// awaitKeys waits until every key set of the realms is there, for a while.
func awaitKeys(ctx context.Context, realms []*realm) {
	ctx, cancel := context.WithTimeout(ctx, firstLoad)
	defer cancel()
	for _, r := range realms {
		for len(r.tokens.Ready(ctx)) > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}
