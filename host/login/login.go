package login

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/authhost/authhost/host"
)

// Sessions makes and ends sessions in the shared cache. An error of kind
// Unauthenticated means that the credential counts no more, any other that
// nothing is known to have been done.
type Sessions interface {
	// Revoked judges a JWT that is valid otherwise. Create does too.
	host.RevocationChecker
	// Deadlines returns those that a session made now would have.
	Deadlines(id *host.Identity) (idle, absolute time.Time)
	// Create makes a new session of a validated identity, on terms, and returns
	// its token and its absolute deadline.
	Create(ctx context.Context, id *host.Identity, terms host.Terms) (token string, expires time.Time, err error)
	// End ends the session of a token, and returns what was thought of it until
	// then; one that is none is nothing to do.
	End(ctx context.Context, token string) (host.Validation, error)
	// Rotate gives a session a new token, which ends at the identity's expiry;
	// the old one counts no more.
	Rotate(ctx context.Context, token string) (string, *host.Identity, error)
	// RevokeToken ends one JWT.
	RevokeToken(ctx context.Context, id *host.Identity) error
}

// Realm is what logging in and out needs of one realm.
type Realm struct {
	Bearer   host.Finder // looks at Authorization and nowhere else
	Finder   host.Finder // looks at every source, the session cookie included
	Tokens   host.TokenValidator
	Sessions Sessions
	Cookie   Cookie
}

// Visit is one request with the realm that serves it.
type Visit struct {
	Request *host.Request
	Realm   *Realm
	Plugins []host.Plugin // asked at a login, in this order
	Event   *host.Event   // the request's record, filled along the way; may be nil
	Release func()        // called once, when the request is answered; may be nil
}

// note records what was said of a credential, and whom the first of them that
// names anybody stands for.
func (v *Visit) note(c host.Credential, judged host.Validation) {
	if v.Event == nil {
		return
	}
	v.Event.Tried = append(v.Event.Tried, host.Tried{Credential: c, Verdict: judged.Verdict, Why: judged.Why})
	if judged.Identity != nil && v.Event.Decision.Identity == nil {
		v.Event.Decision.Identity, v.Event.Decision.Credential = judged.Identity, c
	}
}

// refused records which plugin kept a login from being made.
func (v *Visit) refused(err error) error {
	if e, ok := errors.AsType[*host.Error](err); ok && v.Event != nil {
		v.Event.Decision.Plugin = e.Plugin
	}
	return err
}

// Options are what the handlers need of the rest of the house. Open and Fail
// must be set.
type Options struct {
	// Open reads a request and finds its realm in the current configuration,
	// which it holds until Release. Its errors go to Fail as they are.
	Open func(r *http.Request) (Visit, error)
	// Fail answers with an error's kind and public text.
	Fail func(w http.ResponseWriter, err error)
	// NotAllowed answers 405, with Allow already set; nil: without a body.
	NotAllowed func(w http.ResponseWriter)
	Now        func() time.Time // nil: the system's clock
}

// Handlers serves the endpoints. Its methods may be called concurrently.
type Handlers struct{ o Options }

// New returns the handlers.
func New(o Options) (*Handlers, error) {
	if o.Open == nil || o.Fail == nil {
		return nil, errors.New("login: Open and Fail must be set")
	}
	if o.NotAllowed == nil {
		o.NotAllowed = func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Handlers{o}, nil
}

// Login is POST /v1/login: 200 with {token, expires_at, user_id}, the token in
// X-Auth-Token and in the session cookie too; 401 unless Authorization holds
// one valid JWT; 401, 403 or 429 when a plugin refuses it; 503 while that cannot
// be told. Nothing is written before every plugin has agreed.
func (h *Handlers) Login(w http.ResponseWriter, r *http.Request) { h.serve(w, r, h.login) }

// Logout is POST /v1/logout: 204 once every credential that was presented has
// ended, with nothing to end too; 403 when a cookie comes from another site;
// 503 while the cache does not acknowledge or a JWT cannot be judged. Then the
// cookies stay, what could be ended has ended, and it may be repeated. It is
// carried through though the client has gone: a browser says goodbye and closes
// its page.
func (h *Handlers) Logout(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r.WithContext(context.WithoutCancel(r.Context())), h.logout)
}

// Refresh is POST /v1/refresh: the answer of a login, with a new token for the
// session that the first credential present is of, whose deadlines stay; the
// old token counts no more. 401 when that is no session or does not count, 403
// when its cookie comes from another site, 503 while the cache does not
// acknowledge: the old token may then have gone all the same.
func (h *Handlers) Refresh(w http.ResponseWriter, r *http.Request) { h.serve(w, r, h.refresh) }

func (h *Handlers) serve(w http.ResponseWriter, r *http.Request, answer func(http.ResponseWriter, context.Context, *Visit) error) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.o.NotAllowed(w)
		return
	}
	v, err := h.o.Open(r)
	if err != nil {
		h.o.Fail(w, err)
		return
	}
	if v.Release != nil {
		defer v.Release()
	}
	if err := answer(w, r.Context(), &v); err != nil {
		h.o.Fail(w, err)
	}
}

// entry is the answer to a login and a refresh.
type entry struct {
	Token     string `json:"token"`
	ExpiresAt string `json:"expires_at"` // RFC 3339, UTC
	UserID    string `json:"user_id"`
}

func (h *Handlers) login(w http.ResponseWriter, ctx context.Context, v *Visit) error {
	found, _ := v.Realm.Bearer.Find(v.Request, nil)
	if len(found) != 1 || found[0].Source != host.FromHeader || found[0].Kind != host.JWT {
		return unauthenticated(errors.New("a login needs one JWT in Authorization"))
	}
	judged, err := v.Realm.Tokens.Validate(ctx, found[0].Value)
	if err != nil {
		return err
	}
	v.note(found[0], judged)
	if judged.Verdict != host.Valid || judged.Identity == nil {
		return unauthenticated(errors.New("the JWT is " + judged.Verdict.String()))
	}
	terms, err := h.admit(ctx, v, judged.Identity, found[0])
	if err != nil {
		return v.refused(err)
	}
	// Create judges revocation too, in the same breath as it writes.
	token, expires, err := v.Realm.Sessions.Create(ctx, judged.Identity, terms)
	if err != nil {
		return err
	}
	return h.hand(w, v, token, expires, judged.Identity.UserID)
}

// hand gives the client its new token, in the body, in X-Auth-Token and in the
// session cookie.
func (h *Handlers) hand(w http.ResponseWriter, v *Visit, token string, expires time.Time, userID string) error {
	body, err := json.Marshal(entry{token, expires.UTC().Format(time.RFC3339), userID})
	if err != nil {
		return err
	}
	v.Realm.Cookie.set(w, token, int(expires.Sub(h.o.Now())/time.Second))
	w.Header().Set("X-Auth-Token", token)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(body, '\n')) // a client that went away has no use for an error
	return nil
}

func unauthenticated(cause error) error {
	return &host.Error{Kind: host.Unauthenticated, Public: "no valid credential", Cause: cause}
}
