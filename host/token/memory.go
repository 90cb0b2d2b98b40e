package token

import (
	"crypto/sha256"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/authhost/authhost/host"
)

// digest stands for a token in the memory, which so holds no secret.
type digest [sha256.Size]byte

// digestOf hashes a token. One of usual length is copied to the stack first:
// converted to a slice it would be copied to the heap.
func digestOf(token string) digest {
	var usual [weightUnit]byte
	if len(token) <= len(usual) {
		return sha256.Sum256(usual[:copy(usual[:], token)])
	}
	return sha256.Sum256([]byte(token))
}

// remembered is a token that was valid once. What time and key rotation can
// change is asked again at every use.
type remembered struct {
	grant  grant
	source *keySource
	key    *key // the one that verified the signature
	weight uint32
}

// memory is the bounded memory of verified tokens; the zero value remembers
// nothing.
type memory struct {
	tokens *otter.Cache[digest, *remembered]
}

// weightUnit is how many bytes of token count for one.
const weightUnit = 2 << 10

func newMemory(entries int) (memory, error) {
	if entries < 0 {
		return memory{}, nil
	}
	tokens, err := otter.New(&otter.Options[digest, *remembered]{
		MaximumWeight: uint64(entries),
		Weigher:       func(_ digest, r *remembered) uint32 { return r.weight },
	})
	return memory{tokens}, err
}

// recall judges a token that it remembers. One whose key is gone, or whose
// set is too old, is forgotten and must be judged anew; so is one whose time
// is over.
func (m memory) recall(d digest, now time.Time) (v host.Validation, ok bool) {
	if m.tokens == nil {
		return v, false
	}
	r, ok := m.tokens.GetIfPresent(d)
	if !ok {
		return v, false
	}
	if !r.source.holds(r.key, now) {
		m.tokens.Invalidate(d)
		return v, false
	}
	v = host.Validation{Verdict: r.grant.verdict(now), Identity: r.grant.identity}
	if v.Verdict == host.Expired {
		m.tokens.Invalidate(d)
	}
	return v, true
}

func (m memory) keep(d digest, r *remembered, length int) {
	if m.tokens == nil {
		return
	}
	r.weight = uint32(1 + length/weightUnit)
	m.tokens.Set(d, r)
}
