//go:build wasip1

package logout

//go:wasmexport on_logout
func onLogout(frameLen uint32) uint64 { return serve(frameLen) }
