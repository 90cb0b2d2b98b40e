package logout

import "github.com/authhost/authhost/sdk/internal/guest"

// Event is one end of a user's access. It holds, as every text from it does,
// until the handler returns.
type Event struct{ call *guest.Call }

// What ended.
const (
	Session = "session" // one, or several at once for the same reason
	Token   = "token"   // one JWT
	User    = "user"    // all sessions and JWTs that there were
)

// ID returns the event's id (evt_…): no other end has it.
func (e *Event) ID() string { return e.call.Text(guest.FieldEvent) }

// Realm returns the realm's name.
func (e *Event) Realm() string { return e.call.Text(guest.FieldRealm) }

// UserID returns authhost's id of the user (usr_…).
func (e *Event) UserID() string { return e.call.Text(guest.FieldUserID) }

// Issuer returns who vouches for the user, empty if that is not known.
func (e *Event) Issuer() string { return e.call.Text(guest.FieldIssuer) }

// Subject returns the issuer's name for the user, empty if that is not known.
func (e *Event) Subject() string { return e.call.Text(guest.FieldSubject) }

// What returns what ended: Session, Token or User.
func (e *Event) What() string { return e.call.Text(guest.FieldWhat) }

// Why returns one of logout, session_ended, logout_everywhere, deactivated,
// idle, absolute, token_ended and displaced.
func (e *Event) Why() string { return e.call.Text(guest.FieldWhy) }

// ByRank returns who ended it: self, realm_admin, operator, or host by a rule.
func (e *Event) ByRank() string { return e.call.Text(guest.FieldByRank) }

// ByID returns the user id or the operator's name of who it was; empty for the
// host.
func (e *Event) ByID() string { return e.call.Text(guest.FieldByID) }

// At returns when it ended, in Unix milliseconds.
func (e *Event) At() int64 { return int64(e.call.Number(guest.FieldEnded)) }

// SessionID returns the session's public id (ses_…) if one session ended.
func (e *Event) SessionID() string { return e.call.Text(guest.FieldSessionID) }

// Sessions yields the public ids of the sessions that ended, as far as they are
// known:
//
//	for id := range e.Sessions {
func (e *Event) Sessions(yield func(id string) bool) {
	guest.Each(e.call.Text(guest.FieldSessions), yield)
}
