package host

// Fetch is an HTTP request that a plugin wants to have sent.
type Fetch struct {
	Method, URL string
	Headers     []Header // those that repeat included
	Body        []byte
}

// Fetched is what came of it.
type Fetched struct {
	Status  int // 0: there was no answer; beside a Failure: there was a part of one
	Body    []byte
	Failure string // without a whole answer: why, one of the words below
	Cause   error  // the same for the log
}

// Why there was no answer.
const (
	FetchRefused     = "refused"     // not granted, not allowed, or of the wrong form
	FetchUnreachable = "unreachable" // no name, no connection, no trust, no HTTP
	FetchTimeout     = "timeout"
	FetchTooLarge    = "too_large" // the answer
)
