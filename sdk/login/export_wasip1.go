//go:build wasip1

package login

//go:wasmexport on_login
func onLogin(frameLen uint32) uint64 { return serve(frameLen) }
