package sdk

import "github.com/authhost/authhost/sdk/internal/guest"

// Identity is whom a request is from. It holds, as every text from it does,
// until the handler returns.
type Identity struct{ call *guest.Call }

// NewIdentity is for the SDK's own hook packages.
func NewIdentity(c *guest.Call) Identity { return Identity{c} }

// UserID returns authhost's id of the user (usr_…), empty when anonymous.
func (i *Identity) UserID() string { return i.call.Text(guest.FieldUserID) }

// Issuer returns who vouches for the user.
func (i *Identity) Issuer() string { return i.call.Text(guest.FieldIssuer) }

// Subject returns the issuer's name for the user.
func (i *Identity) Subject() string { return i.call.Text(guest.FieldSubject) }

// Roles yields the user's roles. It is an iterator itself, since one that is
// returned may be allocated:
//
//	for role := range r.Roles {
func (i *Identity) Roles(yield func(role string) bool) {
	guest.Each(i.call.Text(guest.FieldRoles), yield)
}

// HasRole says whether the user has exactly that role.
func (i *Identity) HasRole(role string) bool {
	return i.call.Has(guest.FieldRoles, role)
}

// Groups yields the user's groups, as Roles does the roles.
func (i *Identity) Groups(yield func(group string) bool) {
	guest.Each(i.call.Text(guest.FieldGroups), yield)
}

// HasGroup says whether the user is in exactly that group.
func (i *Identity) HasGroup(group string) bool {
	return i.call.Has(guest.FieldGroups, group)
}

// Email returns the user's address if the issuer says that it is verified.
func (i *Identity) Email() string { return i.call.Text(guest.FieldEmail) }

// SessionID returns the session's public id (ses_…), empty without a session.
func (i *Identity) SessionID() string { return i.call.Text(guest.FieldSessionID) }

// Credential returns source/kind of the credential that counted, such as
// header/jwt.
func (i *Identity) Credential() string { return i.call.Text(guest.FieldCredential) }

// Expires returns when the credential ends, in Unix seconds; 0 when anonymous.
func (i *Identity) Expires() int64 { return int64(i.call.Number(guest.FieldExpires)) }

// Claim returns a claim of the JWT by its name or, beginning with "/", by its
// JSON Pointer (RFC 6901): a string as it is, anything else as JSON. A session
// has no claims.
func (i *Identity) Claim(name string) (value string, ok bool) {
	return i.call.Get(guest.GetClaim, name, 0)
}
