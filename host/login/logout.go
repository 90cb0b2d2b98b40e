package login

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/authhost/authhost/host"
)

func (h *Handlers) logout(w http.ResponseWriter, ctx context.Context, v *Visit) error {
	found, _ := v.Realm.Finder.Find(v.Request, nil)
	foreign := v.Request.CrossOrigin()
	if foreign && slices.ContainsFunc(found, func(c host.Credential) bool { return c.Source == host.FromCookie }) {
		return &host.Error{Kind: host.Forbidden, Public: "cross_origin"}
	}
	var failed []error
	for _, c := range found { // all of them, even if one fails
		if err := end(ctx, v, c); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		_, public := host.Explain(failed[0])
		return &host.Error{Kind: host.Unavailable, Public: public, Cause: errors.Join(failed...)}
	}
	if !foreign { // another site must not take away a cookie that it could not send
		v.Realm.Cookie.clear(w, found)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// end ends one credential. What is no credential of this realm's needs no
// ending: only what is properly signed can count, now or later.
func end(ctx context.Context, v *Visit, c host.Credential) error {
	switch c.Kind {
	case host.Session:
		judged, err := v.Realm.Sessions.End(ctx, c.Value)
		if err == nil {
			v.note(c, judged)
		}
		return err
	case host.JWT:
		judged, err := v.Realm.Tokens.Validate(ctx, c.Value)
		if err != nil {
			return err
		}
		v.note(c, judged)
		if judged.Identity == nil {
			return nil
		}
		switch judged.Verdict {
		case host.Valid, host.Expired, host.NotYetValid, host.Revoked, host.BadForm:
			return v.Realm.Sessions.RevokeToken(ctx, judged.Identity)
		}
	}
	return nil
}
