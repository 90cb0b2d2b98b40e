package admin

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authhost/authhost/host"
)

// me is the answer to GET /v1/me.
type me struct {
	UserID     string   `json:"user_id"`
	Realm      string   `json:"realm"`
	Subject    string   `json:"sub"`
	Roles      []string `json:"roles"`
	Groups     []string `json:"groups"`
	SessionID  string   `json:"session_id"` // empty with a JWT
	Credential string   `json:"credential"` // source/kind
	ExpiresAt  string   `json:"expires_at"` // of the credential
}

func (x *exchange) showMe() error {
	id := x.caller.identity
	return x.reply(me{
		UserID: id.UserID, Realm: id.Realm, Subject: id.Subject, Roles: list(id.Roles), Groups: list(id.Groups),
		SessionID: id.SessionID, Credential: x.caller.credential.Label(), ExpiresAt: moment(id.Expires),
	})
}

// user is one user, as the cache knows him.
type user struct {
	UserID   string `json:"user_id"`
	Realm    string `json:"realm"`
	Active   bool   `json:"active"`
	Sessions int    `json:"sessions"` // live ones
}

func (x *exchange) showUser() error {
	u, err := x.grant.realm.Sessions.User(x.ctx, x.grant.user)
	if err != nil {
		return err
	}
	return x.reply(user{UserID: x.grant.user, Realm: x.grant.realm.Name, Active: u.Active, Sessions: u.Sessions})
}

// session is one item of a list of sessions.
type session struct {
	ID            string `json:"id"`
	CreatedAt     string `json:"created_at"`
	LastSeenAt    string `json:"last_seen_at"`
	IdleExpiresAt string `json:"idle_expires_at"`
	ExpiresAt     string `json:"expires_at"`
	Current       bool   `json:"current"` // the one by which the caller asks
}

// page is one page of a list.
type page[T any] struct {
	Items    []T     `json:"items"`
	NextPage *string `json:"next_page"` // null after the last
}

func (x *exchange) listSessions() error {
	ask, err := pageOf(x.Request.RawQuery)
	if err != nil {
		return err
	}
	found, next, err := x.grant.realm.Sessions.List(x.ctx, x.grant.user, ask)
	if err != nil {
		return err
	}
	answer := page[session]{Items: make([]session, 0, len(found))}
	for _, s := range found {
		answer.Items = append(answer.Items, session{
			ID: s.ID, CreatedAt: moment(s.CreatedAt), LastSeenAt: moment(s.LastSeenAt),
			IdleExpiresAt: moment(s.IdleExpiresAt), ExpiresAt: moment(s.ExpiresAt),
			Current: x.caller.identity != nil && x.caller.identity.SessionID == s.ID,
		})
	}
	if next != "" {
		answer.NextPage = &next
	}
	return x.reply(answer)
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// pageOf reads limit and page_token, each given once at most. What else is in
// the query does not matter.
func pageOf(query string) (host.Page, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return host.Page{}, host.Errorf(host.BadRequest, "bad_query", "query: %w", err)
	}
	ask := host.Page{Limit: defaultLimit, Token: values.Get("page_token")}
	if len(values["page_token"]) > 1 {
		return host.Page{}, &host.Error{Kind: host.BadRequest, Public: "bad_page_token"}
	}
	if given, ok := values["limit"]; ok {
		n, err := strconv.ParseUint(given[0], 10, 16)
		if err != nil || len(given) > 1 || n < 1 || n > maxLimit {
			return host.Page{}, &host.Error{Kind: host.BadRequest, Public: "bad_limit"}
		}
		ask.Limit = int(n)
	}
	return ask, nil
}

func (x *exchange) logout() error {
	return x.done(x.grant.realm.Sessions.EndAll(x.ctx, x.grant.user, x.grant.by, "logout"))
}

func (x *exchange) deactivate() error {
	return x.done(x.grant.realm.Sessions.Deactivate(x.ctx, x.grant.user, x.grant.by))
}

func (x *exchange) activate() error {
	return x.done(x.grant.realm.Sessions.Activate(x.ctx, x.grant.user, x.grant.by))
}

func (x *exchange) endSession() error {
	found, err := x.grant.realm.Sessions.EndSession(x.ctx, x.grant.user, x.named.session, x.grant.by)
	if err == nil && !found {
		err = &host.Error{Kind: host.NotFound, Public: "no_such_session"}
	}
	return x.done(err)
}

func (x *exchange) reload() error {
	x.release() // a reload waits for whoever holds the configuration before
	err := x.h.o.Reload(x.ctx)
	x.h.o.Log.LogAttrs(x.ctx, slog.LevelInfo, "configuration reload asked for",
		slog.String("operator", x.grant.by.ID), slog.Bool("applied", err == nil))
	if _, told := errors.AsType[*host.Error](err); err != nil && !told {
		err = &host.Error{Kind: host.Refused, Public: err.Error(), Cause: err}
	}
	return x.done(err)
}

// done answers 204 unless it failed.
func (x *exchange) done(err error) error {
	if err == nil {
		x.w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// list never is null in JSON.
func list(items []string) []string {
	if items == nil {
		return []string{}
	}
	return items
}

// moment is RFC 3339 in UTC.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
