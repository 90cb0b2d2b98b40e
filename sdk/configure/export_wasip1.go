//go:build wasip1

package configure

//go:wasmexport configure
func onConfigure(frameLen uint32) uint64 { return serve(frameLen) }
