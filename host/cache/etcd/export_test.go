package etcd

// Decode reads a record and writes it again.
func Decode(b []byte) (again []byte, err error) {
	r, err := decode(b)
	if err != nil {
		return nil, err
	}
	return encode(r.Expires, r.Fields.All())
}

// Encode writes a record.
func Encode(expires int64, fields map[string][]byte) ([]byte, error) { return encode(expires, fields) }
