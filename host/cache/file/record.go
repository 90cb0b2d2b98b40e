package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/fxamacker/cbor/v2"

	"github.com/authhost/authhost/host/cache"
)

// formatLine is the first line of a slot's file, whose body is a record in CBOR.
const formatLine = "authhost slot 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is the body: one slot.
type record struct {
	_       struct{}        `cbor:",toarray"`
	Slot    cbor.ByteString // the key
	Expires int64           // milliseconds since 1970
	Fields  cache.Packed
}

// bodies decodes what encode wrote, however many fields that were.
var bodies = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxArrayElements: math.MaxInt32}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

// encode returns the content of a slot's file.
func encode(slot string, expires int64, fields map[string][]byte) ([]byte, error) {
	body, err := cbor.Marshal(&record{Slot: cbor.ByteString(slot), Expires: expires, Fields: cache.Pack(fields)})
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
	return r, r.Fields.Check()
}
