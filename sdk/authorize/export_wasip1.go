//go:build wasip1

package authorize

//go:wasmexport on_authorize
func onAuthorize(frameLen uint32) uint64 { return serve(frameLen) }
