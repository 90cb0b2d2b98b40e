package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
)

const minOperatorToken = 32 // characters

// Operators knows the operators' tokens by their hashes. The zero value knows
// none. It is immutable and safe for concurrent use.
type Operators struct {
	names  []string
	hashes [][sha256.Size]byte
}

// ParseOperators reads an operator token file: a line for each operator, name
// and token apart by blanks, a token of 32 characters or more; empty lines and
// lines that begin with "#" do not count. An error names the line, never a
// token.
func ParseOperators(content []byte) (Operators, error) {
	var o Operators
	var problems []error
	n := 0
	for line := range strings.Lines(string(content)) {
		n++
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case len(fields) != 2:
			problems = append(problems, fmt.Errorf("line %d: want a name and a token", n))
		case len(fields[1]) < minOperatorToken:
			problems = append(problems, fmt.Errorf("line %d: the token of %s is shorter than %d characters", n, fields[0], minOperatorToken))
		default:
			o.names = append(o.names, fields[0])
			o.hashes = append(o.hashes, sha256.Sum256([]byte(fields[1])))
		}
	}
	if len(problems) == 0 && len(o.names) == 0 {
		problems = append(problems, errors.New("no operator in it"))
	}
	return o, errors.Join(problems...)
}

// Name returns the operator whose token this is. Every hash is compared, in
// constant time.
func (o Operators) Name(token string) (name string, ok bool) {
	presented := sha256.Sum256([]byte(token))
	for i := range o.hashes {
		if subtle.ConstantTimeCompare(o.hashes[i][:], presented[:]) == 1 {
			name, ok = o.names[i], true
		}
	}
	return name, ok
}
