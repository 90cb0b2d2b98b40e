package login

import (
	"context"
	"errors"
	"net/http"

	"github.com/authhost/authhost/host"
)

func (h *Handlers) refresh(w http.ResponseWriter, ctx context.Context, v *Visit) error {
	found, _ := v.Realm.Finder.Find(v.Request, nil)
	if len(found) == 0 || found[0].Kind != host.Session {
		return unauthenticated(errors.New("a refresh needs a session as the first credential"))
	}
	if found[0].Source == host.FromCookie && v.Request.CrossOrigin() {
		return &host.Error{Kind: host.Forbidden, Public: "cross_origin"}
	}
	token, id, err := v.Realm.Sessions.Rotate(ctx, found[0].Value)
	if err != nil {
		return err
	}
	v.note(found[0], host.Validation{Verdict: host.Valid, Identity: id})
	return h.hand(w, v, token, id.Expires, id.UserID)
}
