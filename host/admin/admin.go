package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/authhost/authhost/host"
)

// Sessions is one realm's users and sessions in the shared cache. It remembers
// nothing: every call reads through. User ids are of the realm, by their form.
// Errors are *host.Error.
type Sessions interface {
	host.SessionResolver
	host.RevocationChecker

	// User tells of any user of the realm, seen before or not.
	User(ctx context.Context, userID string) (host.User, error)
	// List shows live sessions, and what names the page that follows, if any.
	List(ctx context.Context, userID string, page host.Page) (items []host.SessionInfo, next string, err error)
	// EndSession ends one session; found says whether there was a live one.
	EndSession(ctx context.Context, userID, sessionID string, by host.Actor) (found bool, err error)
	// EndAll logs a user out everywhere. It may be repeated.
	EndAll(ctx context.Context, userID string, by host.Actor, why string) error
	// Deactivate ends everything of a user and lets nothing new begin.
	Deactivate(ctx context.Context, userID string, by host.Actor) error
	// Activate undoes Deactivate; Forbidden when by may not.
	Activate(ctx context.Context, userID string, by host.Actor) error
}

// Realm is what the endpoints need of one realm.
type Realm struct {
	Name string
	// AdminRole is the role that administers the realm; empty: nobody's does.
	AdminRole string
	Finder    host.Finder // every source of the realm, in its order
	Bearer    host.Finder // Authorization and nowhere else
	Tokens    host.TokenValidator
	Sessions  Sessions
}

// Visit is one request with the configuration by which it is answered.
type Visit struct {
	Request   *host.Request
	Home      *Realm   // the realm that Host names; nil if none does
	Realms    []*Realm // all of them
	Operators Operators
	Clients   Clients
	Release   func() // lets go of the configuration; called once; may be nil
}

// Options are what the endpoints need of the rest of the house. Open, Reload,
// Plugins and Fail must be set.
type Options struct {
	// Open reads a request and takes hold of the current configuration until
	// Release. A Host that names no realm is no error. Errors go to Fail.
	Open func(r *http.Request) (Visit, error)
	// EventOf returns the record of a request, which is filled along the way;
	// nil: nothing is recorded.
	EventOf func(r *http.Request) *host.Event
	// Reload reads the configuration again and applies it whole or not at all.
	Reload func(ctx context.Context) error
	// Plugins are those of the configuration in force.
	Plugins Plugins
	// Fail answers with an error's kind and public text.
	Fail func(w http.ResponseWriter, err error)
	// NotAllowed answers 405, with Allow already set; nil: without a body.
	NotAllowed func(w http.ResponseWriter)
	Log        *slog.Logger // nil: none
}

// Handlers serves the endpoints. Its methods may be called concurrently.
type Handlers struct {
	o             Options
	admin, public []route
}

// New returns the handlers. A route without a rule is an error.
func New(o Options) (*Handlers, error) {
	if o.Open == nil || o.Reload == nil || o.Plugins == nil || o.Fail == nil {
		return nil, errors.New("admin: Open, Reload, Plugins and Fail must be set")
	}
	if o.EventOf == nil {
		o.EventOf = func(*http.Request) *host.Event { return &host.Event{} }
	}
	if o.NotAllowed == nil {
		o.NotAllowed = func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handlers{o: o, admin: adminRoutes(), public: publicRoutes()}
	return h, errors.Join(checkRoutes(h.admin), checkRoutes(h.public))
}

// Admin serves the admin listener.
func (h *Handlers) Admin(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, h.admin, (*exchange).identifyAnywhere)
}

// Public serves /v1/me, all below it and /v1/introspect of the public listener.
func (h *Handlers) Public(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, h.public, (*exchange).identifyAtHome)
}

// exchange is one request and all that is known of it.
type exchange struct {
	Visit
	h     *Handlers
	ctx   context.Context
	w     http.ResponseWriter
	r     *http.Request
	event *host.Event

	route  *route // nil: no such endpoint
	named  names  // what its path names
	caller caller
	grant  grant // what the rule lets the caller act on
}

func (h *Handlers) serve(w http.ResponseWriter, r *http.Request, routes []route, identify func(*exchange) error) {
	w.Header().Set("Cache-Control", "no-store")
	x := &exchange{h: h, ctx: r.Context(), w: w, r: r, event: h.o.EventOf(r)}
	var err error
	if x.Visit, err = h.o.Open(r); err != nil {
		h.o.Fail(w, err)
		return
	}
	defer x.release()
	if err := x.answer(routes, identify); err != nil {
		h.o.Fail(w, err)
	}
}

// release lets go of the configuration, at the end of the request or earlier.
func (x *exchange) release() {
	if x.Release != nil {
		x.Release()
		x.Release = nil
	}
}

// answer is the order of things that no endpoint can leave.
func (x *exchange) answer(routes []route, identify func(*exchange) error) error {
	var allow string
	if x.route, x.named, allow = match(routes, x.Request.Method, x.Request.Path); x.route != nil {
		x.event.Route = x.route.pattern
		if x.route.may == client {
			identify = (*exchange).identifyClient
		}
	}
	if allow != "" {
		x.w.Header().Set("Allow", allow)
		x.h.o.NotAllowed(x.w)
		return nil
	}
	if err := identify(x); err != nil {
		return err
	}
	if x.route == nil {
		return &host.Error{Kind: host.NotFound, Public: "no such endpoint"}
	}
	var err error
	if x.grant, err = admit(x.route.may, &x.caller, x.named, x.Realms); err != nil {
		return err
	}
	if x.grant.realm != nil {
		x.event.Realm = x.grant.realm.Name
	}
	x.event.Decision.Reason = x.grant.String()
	return x.route.do(x)
}
