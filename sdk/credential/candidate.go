package credential

import "github.com/authhost/authhost/sdk/internal/guest"

// Source says where in the request a credential was found.
type Source uint8

// The sources.
const (
	Header Source = 1
	Cookie Source = 2
	Query  Source = 3
)

// Kind says what form a credential has.
type Kind uint8

// The kinds.
const (
	Malformed   Kind = 0 // none of the others
	JWT         Kind = 1
	Session     Kind = 2
	AccessToken Kind = 3
)

// Verdict is what validation said of a credential.
type Verdict uint8

// The verdicts.
const (
	Untried       Verdict = 0
	Valid         Verdict = 1 // never seen here: a valid one ends the search
	BadForm       Verdict = 2
	BadSignature  Verdict = 3
	Expired       Verdict = 4
	NotYetValid   Verdict = 5
	WrongIssuer   Verdict = 6
	WrongAudience Verdict = 7
	Unknown       Verdict = 8
	Revoked       Verdict = 9
)

// Candidate is one credential of the request.
type Candidate struct {
	Source  Source
	Kind    Kind
	Verdict Verdict
	Name    string // of the header, cookie or query parameter
	UserID  string // whom a properly signed one names, tried or not; else empty

	index int
}

// Tried says whether the candidate has been tried, and so has failed.
func (c Candidate) Tried() bool { return c.Verdict != Untried }

func newCandidate(index int, item string) Candidate {
	g := guest.ParseCandidate(item)
	return Candidate{Source(g.Source), Kind(g.Kind), Verdict(g.Verdict), g.Name, g.UserID, index}
}
