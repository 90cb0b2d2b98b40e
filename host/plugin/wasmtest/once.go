package wasmtest

// StartsOnce makes a module without imports one of which an instance starts,
// and no other: each declares 20 counters of its own, and a plugin may have 32.
// It writes to the last 256 bytes of the first page.
func StartsOnce(m Module) Module {
	const (
		at, length, count = 0xff00, 8, 20
		random, metric    = 0, 1
		letters           = 0x6868686868686868 // with three random bits each: h to o
	)
	m.Imports = []Import{
		{Module: "wasi_snapshot_preview1", Name: "random_get", Params: []byte{I32, I32}, Results: []byte{I32}},
		{Module: "authhost", Name: "metric", Params: []byte{I32, I32, I64}},
	}
	body := Join(Const32(at), Const32(count*length), Call(random), Op(Drop))
	for i := range int32(count) {
		name := Const32(at + length*i)
		body = Join(body,
			name, name, Op(0x29, 0, 0), Const64(letters|0x0707070707070707), Op(0x83), Const64(letters), Op(I64Or), Op(0x37, 0, 0), // load, and, or, store
			name, Const32(length), Const64(0), Call(metric))
	}
	m.Funcs = append(m.Funcs, Func{Export: "_initialize", Body: body})
	return m
}
