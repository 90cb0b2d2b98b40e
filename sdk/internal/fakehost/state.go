package fakehost

import (
	"encoding/binary"
	"strconv"

	"github.com/authhost/authhost/sdk/internal/guest"
)

// Metric is the host function metric, without a check of the name.
func (h *Host) Metric(name string, delta int64) {
	if h.Metrics == nil {
		h.Metrics = map[string]int64{}
	}
	h.Metrics[name] += delta
}

// SessionGet is the host function session_get.
func (h *Host) SessionGet(name string, dst []byte) int32 { return give(h.Session, name, dst) }

// SessionSet is the host function session_set.
func (h *Host) SessionSet(name string, old, next guest.Value) int32 {
	if h.Session == nil {
		return -1
	}
	return change(h.Session, name, old, next, 0)
}

// KVGet is the host function kv_get.
func (h *Host) KVGet(key string, dst []byte) int32 { return give(h.KV, key, dst) }

// KVSet is the host function kv_set.
func (h *Host) KVSet(key string, old, next guest.Value, ttl int64) int32 {
	h.TTLs = append(h.TTLs, ttl)
	if h.KV == nil {
		h.KV = map[string]string{}
	}
	return change(h.KV, key, old, next, h.Keys)
}

// KVAdd is the host function kv_add. Where nothing is added it leaves what means
// nothing in sum, as a host may.
func (h *Host) KVAdd(key string, delta, ttl int64, sum *[8]byte) int32 {
	binary.LittleEndian.PutUint64(sum[:], 0xdead)
	text, there := h.KV[key]
	n, err := strconv.ParseInt(text, 10, 64)
	if there && err != nil {
		return guest.SetOther
	}
	status := h.KVSet(key, guest.Value{Is: guest.Any}, guest.Value{Text: strconv.FormatInt(n+delta, 10)}, ttl)
	if status == guest.SetDone {
		binary.LittleEndian.PutUint64(sum[:], uint64(n+delta))
	}
	return status
}

func give(all map[string]string, name string, dst []byte) int32 {
	value, ok := all[name]
	if !ok {
		return -1
	}
	if len(value) <= len(dst) {
		copy(dst, value)
	}
	return int32(len(value))
}

func change(all map[string]string, name string, old, next guest.Value, most int) int32 {
	value, there := all[name]
	switch {
	case old.Is != guest.Any && (there != (old.Is == guest.Some) || value != old.Text):
		return guest.SetOther
	case next.Is != guest.Some:
		delete(all, name)
	case !there && most > 0 && len(all) >= most:
		return guest.SetFull
	default:
		all[name] = next.Text
	}
	return guest.SetDone
}
