package host

import "time"

// Actor is who ends a user's access, or gives it back.
type Actor struct {
	Rank Rank
	ID   string // the user's id or the operator's name; for records
}

// Rank says in what capacity somebody acts on a user.
type Rank uint8

// The ranks, in order: what one of them did, a lower one does not undo. They
// are stored. The zero value may nothing.
const (
	Nobody     Rank = 0
	Self       Rank = 1 // the user
	RealmAdmin Rank = 2 // an administrator of the user's realm
	Operator   Rank = 3 // above every realm
)

var rankNames = [...]string{"", "self", "admin", "operator"}

// String returns the rank's name: self, admin or operator; empty for nobody.
func (r Rank) String() string {
	if int(r) < len(rankNames) {
		return rankNames[r]
	}
	return ""
}

// User is what the cache knows of a user. One of whom it knows nothing is
// active, and has no session.
type User struct {
	Active        bool
	DeactivatedBy Rank // Nobody while active
	Sessions      int  // live ones
}

// SessionInfo is what a list shows of a live session.
type SessionInfo struct {
	ID            string // public: ses_…
	CreatedAt     time.Time
	LastSeenAt    time.Time // to within a sixteenth of the idle time
	IdleExpiresAt time.Time // unless it is used before
	ExpiresAt     time.Time // at the latest
}

// Page is which part of a list is asked for.
type Page struct {
	Limit int    // items at most, 1 to 1000; 0: 100
	Token string // what the page before named as the next; empty: the first
}
