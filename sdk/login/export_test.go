package login

// Serve is what the export calls.
var Serve = serve

// Reset forgets the handler.
func Reset() { handle = nil }
