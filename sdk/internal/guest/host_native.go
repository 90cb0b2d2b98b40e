//go:build !wasip1

package guest

func get(kind uint32, name string, index uint32, dst []byte) int32 {
	return Host.Get(kind, name, index, dst)
}

func log(level uint32, text string) { Host.Log(level, text) }
