//go:build wasip1

package credential

//go:wasmexport on_credential
func onCredential(frameLen uint32) uint64 { return serve(frameLen) }
