package authorize

import (
	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/internal/guest"
)

// Request is a request and whom it is from. It holds, as every text from it
// does, until the handler returns.
type Request struct {
	sdk.Request
	call *guest.Call
}

func (r *Request) begin(c *guest.Call) { r.Request, r.call = sdk.NewRequest(c), c }

// Anonymous says that nobody is known: the route's authentication is optional
// and there was no credential.
func (r *Request) Anonymous() bool { return r.UserID() == "" }

// UserID returns authhost's id of the user (usr_…), empty when anonymous.
func (r *Request) UserID() string { return r.call.Text(guest.FieldUserID) }

// Issuer returns who vouches for the user.
func (r *Request) Issuer() string { return r.call.Text(guest.FieldIssuer) }

// Subject returns the issuer's name for the user.
func (r *Request) Subject() string { return r.call.Text(guest.FieldSubject) }

// Roles yields the user's roles. It is an iterator itself, since one that is
// returned may be allocated:
//
//	for role := range r.Roles {
func (r *Request) Roles(yield func(role string) bool) {
	guest.Each(r.call.Text(guest.FieldRoles), yield)
}

// HasRole says whether the user has exactly that role.
func (r *Request) HasRole(role string) bool {
	return r.call.Has(guest.FieldRoles, role)
}

// Groups yields the user's groups, as Roles does the roles.
func (r *Request) Groups(yield func(group string) bool) {
	guest.Each(r.call.Text(guest.FieldGroups), yield)
}

// HasGroup says whether the user is in exactly that group.
func (r *Request) HasGroup(group string) bool {
	return r.call.Has(guest.FieldGroups, group)
}

// Email returns the user's address if the issuer says that it is verified.
func (r *Request) Email() string { return r.call.Text(guest.FieldEmail) }

// SessionID returns the session's public id (ses_…), empty without a session.
func (r *Request) SessionID() string { return r.call.Text(guest.FieldSessionID) }

// Credential returns source/kind of the credential that counted, such as
// header/jwt.
func (r *Request) Credential() string { return r.call.Text(guest.FieldCredential) }

// Expires returns when the credential ends, in Unix seconds; 0 when anonymous.
func (r *Request) Expires() int64 { return int64(r.call.Number(guest.FieldExpires)) }

// Claim returns a claim of the JWT by its name or, beginning with "/", by its
// JSON Pointer (RFC 6901): a string as it is, anything else as JSON. A session
// has no claims.
func (r *Request) Claim(name string) (value string, ok bool) {
	return r.call.Get(guest.GetClaim, name, 0)
}
