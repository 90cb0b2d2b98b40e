package host

// How much a session can be told to remember: so many attributes, of so many
// bytes in all, names and values together.
const (
	MaxAttributes     = 64
	MaxAttributeBytes = 4 << 10
)

// CheckAttributes refuses attributes that no session can have.
func CheckAttributes(attributes map[string]string) error {
	size := 0
	for name, value := range attributes {
		if name == "" {
			return &Error{Kind: Refused, Public: "an attribute needs a name"}
		}
		size += len(name) + len(value)
	}
	if len(attributes) > MaxAttributes || size > MaxAttributeBytes {
		return Errorf(Refused, "attribute_limit", "%d attributes of %d bytes, at most %d of %d", len(attributes), size, MaxAttributes, MaxAttributeBytes)
	}
	return nil
}
