package authorize

import (
	"github.com/authhost/authhost/sdk"
	"github.com/authhost/authhost/sdk/internal/guest"
)

// Request is a request and whom it is from. It holds, as every text from it
// does, until the handler returns.
type Request struct {
	sdk.Request
	sdk.Identity
}

func newRequest(c *guest.Call) Request { return Request{sdk.NewRequest(c), sdk.NewIdentity(c)} }

// Anonymous says that nobody is known: the route's authentication is optional
// and there was no credential.
func (r *Request) Anonymous() bool { return r.UserID() == "" }
