package conformance

import (
	"encoding/hex"
	"encoding/json"
	"strings"
)

// Bytes are in JSON a text of hex digits, or what is long and repeats itself:
// a list of pairs of such a text and how often it is there.
type Bytes string

// Bounds on what is written as repeated.
const (
	maxPeriod = 64  // bytes
	minRun    = 128 // bytes
)

// MarshalJSON writes the shorter of the two forms.
func (b Bytes) MarshalJSON() ([]byte, error) {
	pairs := b.pairs()
	if len(pairs) == 1 && pairs[0][1] == 1 || len(pairs) == 0 {
		return json.Marshal(hex.EncodeToString([]byte(b)))
	}
	return json.Marshal(pairs)
}

// pairs splits b into what repeats itself and what is between.
func (b Bytes) pairs() (list [][2]any) {
	add := func(s Bytes, times int) {
		if s != "" {
			list = append(list, [2]any{hex.EncodeToString([]byte(s)), times})
		}
	}
	begin := 0
	for at := 0; at < len(b); {
		period, length := 0, 0
		for p := 1; p <= maxPeriod && p < len(b)-at; p++ {
			n := p
			for at+n < len(b) && b[at+n] == b[at+n-p] {
				n++
			}
			if n -= n % p; n > length && n > p {
				period, length = p, n
			}
		}
		if length < minRun {
			at++
			continue
		}
		add(b[begin:at], 1)
		add(b[at:at+period], length/period)
		at += length
		begin = at
	}
	add(b[begin:], 1)
	return list
}

// UnmarshalJSON reads either form.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		raw, err := hex.DecodeString(one)
		*b = Bytes(raw)
		return err
	}
	var pairs []pair
	if err := json.Unmarshal(text, &pairs); err != nil {
		return err
	}
	var all strings.Builder
	for _, p := range pairs {
		raw, err := hex.DecodeString(p.hex)
		if err != nil {
			return err
		}
		for range p.times {
			all.Write(raw)
		}
	}
	*b = Bytes(all.String())
	return nil
}

// pair is [hex, times].
type pair struct {
	hex   string
	times int
}

func (p *pair) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&p.hex, &p.times})
}
