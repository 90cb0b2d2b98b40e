package host

import (
	"slices"
	"time"
)

// What an end of access is the end of.
const (
	EndedSession = "session" // one, or several that made room for another
	EndedToken   = "token"   // one JWT
	EndedUser    = "user"    // whatever there was of the user's until then
)

// Why access ended.
const (
	WhyLogout      = "logout"            // the user ended the session that was presented
	WhySession     = "session_ended"     // one session was ended from a list
	WhyEverywhere  = "logout_everywhere" // all of a user's
	WhyDeactivated = "deactivated"       // the same, and nothing new may begin
	WhyIdle        = "idle"              // the session lay unused too long
	WhyAbsolute    = "absolute"          // the session came to its last moment
	WhyToken       = "token_ended"       // the user ended the JWT that was presented
	WhyDisplaced   = "displaced"         // the session made room for a new one
)

// Ended is one end of a user's access.
type Ended struct {
	ID       string // evt_…: no other end has it
	UserID   string
	Issuer   string // who vouches for the user, and under which name; empty if not known
	Subject  string //
	What     string // EndedSession …
	Why      string // WhyLogout …
	By       Actor  // Nobody: the host itself, by a rule
	At       time.Time
	Sessions []string // public ids of those that ended, as far as they are kept
}

// Terms are what a session is made with beyond what its realm says. The zero
// value adds nothing.
type Terms struct {
	Idle       time.Time // the first idle deadline, no later than the realm's; zero: that
	Absolute   time.Time // likewise
	Attributes map[string]string
}

// Admission is one plugin's answer to on_login.
type Admission struct {
	Refused bool
	Kind    Kind     // of a refusal: Unauthenticated, Forbidden or TooManyRequests
	Reason  string   // of a refusal it may be shown to the client
	Headers []Header // of a refusal
	Terms   Terms    // zero where the plugin leaves them
}

// Task is what waits in a user's slot to be told: an end that plugins are to be
// asked about, or a message that is to be delivered.
type Task struct {
	Key     string // the event's id; of a message that, the plugin and a number
	UserID  string
	Since   time.Time // when access ended
	Tries   int       // that were begun
	Ended   *Ended    // of an event; else nil
	Plugin  string    // of a message: who asked for it
	Message *Fetch
	Asked   []string  // of an event: plugins that were
	Until   time.Time // how long it is claimed, if the caller did
	Raw     []byte    // as it is stored
}

// WasAsked says whether a plugin was.
func (t *Task) WasAsked(plugin string) bool { return slices.Contains(t.Asked, plugin) }
