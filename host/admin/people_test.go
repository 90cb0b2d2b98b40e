package admin_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/authhost/authhost/host"
)

// tokens judges JWTs of the form realm-realm.subject-role-role.verdict: of one
// issuer, for the audiences of one or more realms.
type tokens struct {
	realm string
	away  error
	asked int
}

func jwt(realm, subject string, roles ...string) string {
	return realm + "." + strings.Join(append([]string{subject}, roles...), "-") + ".valid"
}

func (k *tokens) Validate(_ context.Context, token string) (host.Validation, error) {
	k.asked++
	if k.away != nil {
		return host.Validation{}, k.away
	}
	parts := strings.Split(token, ".")
	who := strings.Split(parts[1], "-")
	v := host.Validation{Verdict: host.BadSignature}
	for known := host.Valid; known <= host.Revoked; known++ {
		if known.String() == parts[2] {
			v.Verdict = known
		}
	}
	if v.Verdict == host.BadSignature || v.Verdict == host.WrongIssuer {
		return v, nil
	}
	v.Identity = &host.Identity{Realm: k.realm, Issuer: issuer, Subject: who[0], UserID: host.UserID(k.realm, issuer, who[0]), Roles: who[1:],
		Expires: start.Add(time.Hour), TokenKey: token}
	if v.Verdict == host.Valid && !slices.Contains(strings.Split(parts[0], "-"), k.realm) {
		v.Verdict = host.WrongAudience
	}
	return v, nil
}

// users is the sessions of one realm, in memory.
type users struct {
	realm string
	down  error

	mu      sync.Mutex
	made    int
	live    map[string]*login // by token
	out     map[string]bool   // users whose JWTs count no more
	off     map[string]host.Rank
	changes []string // what was done, by whom, to whom
}

type login struct {
	host.SessionInfo
	*host.Identity
}

// login makes a session and returns its token.
func (u *users) login(subject string, roles ...string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.made++
	made := start.Add(time.Duration(u.made) * time.Second)
	info := host.SessionInfo{ID: fmt.Sprintf("ses_%s_%04d", u.realm, u.made), CreatedAt: made, LastSeenAt: made.Add(time.Minute),
		IdleExpiresAt: made.Add(8 * time.Hour), ExpiresAt: made.Add(24 * time.Hour)}
	token := fmt.Sprintf("ahs_%s_%s_%04d", u.realm, subject, u.made)
	u.live[token] = &login{info, &host.Identity{Realm: u.realm, Issuer: issuer, Subject: subject, UserID: host.UserID(u.realm, issuer, subject),
		Roles: roles, Groups: []string{"staff"}, SessionID: info.ID, IssuedAt: made, Expires: info.ExpiresAt}}
	return token
}

func (u *users) Resolve(_ context.Context, token string) (host.Validation, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down != nil {
		return host.Validation{}, u.down
	}
	if s := u.live[token]; s != nil {
		return host.Validation{Verdict: host.Valid, Identity: s.Identity}, nil
	}
	return host.Validation{Verdict: host.Unknown}, nil
}

func (u *users) Revoked(_ context.Context, id *host.Identity) (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.out[id.UserID], u.down
}

func (u *users) of(userID string) []host.SessionInfo {
	var all []host.SessionInfo
	for _, token := range slices.Sorted(maps.Keys(u.live)) {
		if s := u.live[token]; s.UserID == userID {
			all = append(all, s.SessionInfo)
		}
	}
	slices.SortFunc(all, func(a, b host.SessionInfo) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all
}

func (u *users) User(_ context.Context, userID string) (host.User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	by, off := u.off[userID]
	return host.User{Active: !off, DeactivatedBy: by, Sessions: len(u.of(userID))}, u.down
}

func (u *users) List(_ context.Context, userID string, page host.Page) (items []host.SessionInfo, next string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.of(userID) {
		if len(items) == page.Limit {
			return items, "after-" + items[page.Limit-1].ID, u.down
		}
		if after, ok := strings.CutPrefix(page.Token, "after-"); page.Token == "" || ok && s.ID > after {
			items = append(items, s)
		} else if !ok {
			return nil, "", &host.Error{Kind: host.BadRequest, Public: "bad_page_token"}
		}
	}
	return items, "", u.down
}

func (u *users) EndSession(_ context.Context, userID, sessionID string, _ host.Actor) (found bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down != nil {
		return false, u.down
	}
	maps.DeleteFunc(u.live, func(_ string, s *login) bool {
		ends := s.UserID == userID && s.ID == sessionID
		found = found || ends
		return ends
	})
	if found {
		u.changes = append(u.changes, "end "+sessionID+" of "+userID)
	}
	return found, nil
}

func (u *users) EndAll(_ context.Context, userID string, by host.Actor, why string) error {
	return u.change(why, userID, by)
}

func (u *users) Deactivate(_ context.Context, userID string, by host.Actor) error {
	err := u.change("deactivate", userID, by)
	if err == nil {
		u.off[userID] = max(u.off[userID], by.Rank)
	}
	return err
}

func (u *users) Activate(_ context.Context, userID string, by host.Actor) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.off[userID] > by.Rank {
		return &host.Error{Kind: host.Forbidden, Public: "deactivated_by_operator"}
	}
	delete(u.off, userID)
	u.changes = append(u.changes, fmt.Sprintf("activate %s by %s %s", userID, by.Rank, by.ID))
	return u.down
}

func (u *users) change(what, userID string, by host.Actor) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down != nil {
		return u.down
	}
	if !host.IsUserIDOf(userID, u.realm) || by.Rank == host.Nobody || by.ID == "" {
		return errors.New("not for this store")
	}
	maps.DeleteFunc(u.live, func(_ string, s *login) bool { return s.UserID == userID })
	u.out[userID] = true
	u.changes = append(u.changes, fmt.Sprintf("%s %s by %s %s", what, userID, by.Rank, by.ID))
	return nil
}

// reset makes a realm as if nobody had ever logged in.
func (u *users) reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.live)
	clear(u.out)
	clear(u.off)
	u.changes = nil
}
