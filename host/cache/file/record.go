package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// formatLine is the first line of a slot's file, whose body is a record in CBOR.
const formatLine = "authhost slot 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is the body: one slot.
type record struct {
	_       struct{}        `cbor:",toarray"`
	Slot    cbor.ByteString // the key
	Expires int64           // milliseconds since 1970
	Fields  [][]byte        // name, value, name, value …
}

// bodies decodes what encode wrote, however many fields that were.
var bodies = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxArrayElements: math.MaxInt32}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

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

// encode returns the content of a slot's file.
func encode(slot string, expires int64, fields map[string][]byte) ([]byte, error) {
	r := record{Slot: cbor.ByteString(slot), Expires: expires}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		r.Fields = append(r.Fields, []byte(name), fields[name])
	}
	body, err := cbor.Marshal(&r)
	if err != nil {
		return nil, fmt.Errorf("encoding a slot: %w", err)
	}
	return frame(formatLine, body), nil
}

// frame is a file's content: its first line, which says what it is, the CRC-32C
// of all that follows it, the length of the body, and the body; both numbers
// big-endian, 4 bytes.
func frame(line string, body []byte) []byte {
	b := make([]byte, len(line)+8, len(line)+8+len(body))
	copy(b, line)
	binary.BigEndian.PutUint32(b[len(line)+4:], uint32(len(body)))
	b = append(b, body...)
	binary.BigEndian.PutUint32(b[len(line):], crc32.Checksum(b[len(line)+4:], castagnoli))
	return b
}

// unframe returns the body of a file. Anything but what frame made is an error.
func unframe(line string, b []byte) ([]byte, error) {
	if len(b) < len(line)+8 || string(b[:len(line)]) != line {
		return nil, errors.New("not a file of a format that this version reads")
	}
	sum, rest := binary.BigEndian.Uint32(b[len(line):]), b[len(line)+4:]
	body := rest[4:]
	if uint64(binary.BigEndian.Uint32(rest)) != uint64(len(body)) {
		return nil, errors.New("the file is torn")
	}
	if crc32.Checksum(rest, castagnoli) != sum {
		return nil, errors.New("the file is damaged: its checksum differs")
	}
	return body, nil
}

// decode reads the content of a slot's file. Anything but what encode wrote is
// an error.
func decode(b []byte) (*record, error) {
	body, err := unframe(formatLine, b)
	if err != nil {
		return nil, err
	}
	r := new(record)
	if err := bodies.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("the slot is damaged: %w", err)
	}
	if len(r.Fields) == 0 || len(r.Fields)%2 != 0 {
		return nil, errors.New("the slot is damaged: its fields are not pairs")
	}
	for i, f := range r.Fields {
		if f == nil { // CBOR null: never an absent value
			return nil, fmt.Errorf("the slot is damaged: item %d is null", i)
		}
	}
	return r, nil
}
