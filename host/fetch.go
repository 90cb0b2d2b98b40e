package host

// Fetch is an HTTP request that a plugin wants to have sent.
type Fetch struct {
	Method, URL string
	Headers     []Header // those that repeat included
	Body        []byte
}

// Fetched is what came of it.
type Fetched struct {
	Status  int // 0: there was no answer
	Body    []byte
	Failure string // without an answer: why, in one of the words of the ABI
	Cause   error  // the same for the log
}
