package etcd

import (
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"

	"github.com/authhost/authhost/host/cache"
)

// record is the value of a slot's key, in CBOR.
type record struct {
	_       struct{} `cbor:",toarray"`
	Version int
	Expires int64 // milliseconds since 1970
	Fields  cache.Packed
}

const recordVersion = 1

// records decodes what encode wrote, however many fields that were.
var records = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxArrayElements: math.MaxInt32}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

func encode(expires int64, fields map[string][]byte) ([]byte, error) {
	return cbor.Marshal(&record{Version: recordVersion, Expires: expires, Fields: cache.Pack(fields)})
}

// decode reads a record. Anything but what encode wrote of a slot with fields
// is an error.
func decode(b []byte) (*record, error) {
	r := new(record)
	if err := records.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("the slot is damaged: %w", err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("the slot is of version %d, which this program does not read", r.Version)
	}
	return r, r.Fields.Check()
}
