package session

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
)

// forever is how long the slot of a deactivated user is kept.
const forever = 100 * 365 * 24 * time.Hour

// Deactivate logs a user out everywhere and lets nothing of theirs begin or
// count until Activate, in one write. Only a realm's admin or the operator may
// (Forbidden); an admin's word does not replace the operator's. It may be
// repeated.
func (s *Store) Deactivate(ctx context.Context, userID string, by host.Actor) error {
	if by.Rank < host.RealmAdmin {
		return forbidden(by)
	}
	err := s.changeHeader(ctx, userID, s.o.Now().Add(forever), &ending{host.WhyDeactivated, by}, func(h *header) (bool, error) {
		h.Flags |= deactivated
		h.By = max(h.By, by.Rank)
		return true, s.endAll(h, s.keep())
	})
	if err == nil {
		s.report(ctx, "user deactivated", userID, by)
	}
	return err
}

// Activate lets a user log in again; what was ended stays ended. Only a realm's
// admin or the operator may, and whom the operator deactivated only the
// operator (Forbidden). It may be repeated.
func (s *Store) Activate(ctx context.Context, userID string, by host.Actor) error {
	if by.Rank < host.RealmAdmin {
		return forbidden(by)
	}
	err := s.changeHeader(ctx, userID, s.keep(), nil, func(h *header) (bool, error) {
		if by.Rank < h.By {
			return false, &host.Error{Kind: host.Forbidden, Public: "deactivated_by_" + h.By.String()}
		}
		was := h.deactivated()
		h.Flags, h.By = h.Flags&^deactivated, host.Nobody
		return was, nil
	})
	if err == nil {
		s.report(ctx, "user activated", userID, by)
	}
	return err
}

func forbidden(by host.Actor) error {
	return host.Errorf(host.Forbidden, "not_allowed", "%q may not deactivate or activate users", by.Rank)
}

// User tells what is known of a user, by one read of the slot.
func (s *Store) User(ctx context.Context, userID string) (host.User, error) {
	h, list, err := s.slot(ctx, userID)
	if err != nil {
		return host.User{}, err
	}
	u := host.User{Active: true, Sessions: len(list)}
	if h != nil && h.deactivated() {
		u.Active, u.DeactivatedBy = false, h.By
	}
	return u, nil
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// List shows the live sessions of a user, the oldest first, by one read of the
// slot. next names the page that follows, empty after the last; a session that
// is live throughout is on one page. A page token that List did not make is
// BadRequest.
func (s *Store) List(ctx context.Context, userID string, page host.Page) (items []host.SessionInfo, next string, err error) {
	created, id, err := parsePage(page.Token)
	if err != nil {
		return nil, "", err
	}
	_, list, err := s.slot(ctx, userID)
	if err != nil {
		return nil, "", err
	}
	limit := page.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	items = make([]host.SessionInfo, 0, min(limit, len(list)))
	for _, e := range list {
		if e.Created < created || e.Created == created && e.id <= id {
			continue
		}
		if len(items) == limit {
			last := items[limit-1]
			return items, strconv.FormatInt(last.CreatedAt.UnixMilli(), 10) + "." + last.ID, nil
		}
		items = append(items, host.SessionInfo{ID: e.id, CreatedAt: moment(e.Created), LastSeenAt: moment(e.Seen),
			IdleExpiresAt: moment(e.Idle), ExpiresAt: moment(e.Absolute)})
	}
	return items, "", nil
}

// parsePage reads where a page begins: behind the session that it names.
func parsePage(token string) (created int64, id string, err error) {
	if token == "" {
		return 0, "", nil
	}
	number, id, _ := strings.Cut(token, ".")
	created, err = strconv.ParseInt(number, 10, 64)
	if err == nil && !isSessionID(id) {
		err = fmt.Errorf("no session's id")
	}
	if err != nil {
		return 0, "", host.Errorf(host.BadRequest, "bad_page_token", "page token: %w", err)
	}
	return created, id, nil
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// slot reads a user's header and live sessions.
func (s *Store) slot(ctx context.Context, userID string) (*header, []entry, error) {
	if err := s.mine(userID); err != nil {
		return nil, nil, err
	}
	all, err := s.o.Through.All(ctx, userID)
	if err != nil {
		return nil, nil, unavailable(err)
	}
	h, err := decodeHeader(all[headerField])
	if err != nil {
		return nil, nil, unavailable(err)
	}
	list, err := live(all, h, s.o.Now())
	if err != nil {
		return nil, nil, unavailable(err)
	}
	return h, list, nil
}
