package etcd

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// record is the value of a slot's key, in CBOR.
type record struct {
	_       struct{} `cbor:",toarray"`
	Version int
	Expires int64    // milliseconds since 1970
	Fields  [][]byte // name, value, name, value …
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
	r := record{Version: recordVersion, Expires: expires}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		r.Fields = append(r.Fields, []byte(name), fields[name])
	}
	return cbor.Marshal(&r)
}

// decode reads a record. Anything but what encode wrote of a slot with fields
// is an error.
func decode(b []byte) (*record, error) {
	r := new(record)
	if err := records.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("the slot is damaged: %w", err)
	}
	switch {
	case r.Version != recordVersion:
		return nil, fmt.Errorf("the slot is of version %d, which this program does not read", r.Version)
	case len(r.Fields) == 0 || len(r.Fields)%2 != 0:
		return nil, errors.New("the slot is damaged: its fields are not pairs")
	case slices.ContainsFunc(r.Fields, func(f []byte) bool { return f == nil }): // CBOR null: never an absent value
		return nil, errors.New("the slot is damaged: a field is null")
	}
	return r, nil
}

func (r *record) get(name string) []byte {
	for i := 0; i < len(r.Fields); i += 2 {
		if string(r.Fields[i]) == name {
			return r.Fields[i+1]
		}
	}
	return nil
}

func (r *record) all() map[string][]byte {
	m := make(map[string][]byte, len(r.Fields)/2)
	for i := 0; i < len(r.Fields); i += 2 {
		m[string(r.Fields[i])] = r.Fields[i+1]
	}
	return m
}
