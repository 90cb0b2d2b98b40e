package kv

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Tally is what the slots of plugins were found to hold.
type Tally struct {
	Keys    int   // that live
	Ended   int   // by their deadlines, and still kept
	Entries int   // that count keys
	Bytes   int64 // keys, names and values, without what the driver adds
}

// Survey examines slots. Its methods may be called by many goroutines at once;
// the zero Survey uses the system's clock.
type Survey struct {
	Now func() time.Time

	mu    sync.Mutex
	tally Tally
}

// Owns says whether a slot is one of a plugin's.
func (s *Survey) Owns(slot string) bool { return Owns(slot) }

// Owns says whether a slot is one of a plugin's.
func Owns(slot string) bool { return strings.HasPrefix(slot, slotPrefix) }

// Tally returns what was found so far.
func (s *Survey) Tally() Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally
}

// Examine reads every record of a plugin's slot. The error names what cannot
// be read.
func (s *Survey) Examine(slot string, all map[string][]byte) error {
	t := Tally{Bytes: int64(len(slot))}
	for name, value := range all {
		t.Bytes += int64(len(name) + len(value))
	}
	err := t.examine(slot, all, s.now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.Keys += t.Keys
	s.tally.Ended += t.Ended
	s.tally.Entries += t.Entries
	s.tally.Bytes += t.Bytes
	return err
}

func (s *Survey) now() int64 {
	if s.Now == nil {
		return time.Now().UnixMilli()
	}
	return s.Now().UnixMilli()
}

func (t *Tally) examine(slot string, all map[string][]byte, now int64) error {
	_, rest, _ := strings.Cut(strings.TrimPrefix(slot, slotPrefix), "/")
	switch {
	case strings.HasPrefix("/"+rest, keySlots):
		return t.examineKey("/"+rest, all, now)
	case strings.HasPrefix("/"+rest, indexSlots):
		return t.examineIndex(all)
	}
	return errors.New("neither a key nor an index of keys")
}

func (t *Tally) examineKey(rest string, all map[string][]byte, now int64) error {
	if _, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(rest, keySlots)); err != nil {
		return fmt.Errorf("key: its name: %w", err)
	}
	raw, ok := all[lifeField]
	if !ok {
		return nil // what is left of a life that has ended
	}
	l, err := decodeLife(raw)
	if err != nil {
		return err
	}
	if l.Claim != 0 {
		return nil // nothing yet
	}
	if _, ok := all[valueField+l.ID]; !ok {
		return errors.New("key: its value is missing")
	}
	if _, err := entryDeadline(l.Entry); err != nil {
		return err
	}
	if l.Deadline > now {
		t.Keys++
	} else {
		t.Ended++
	}
	return nil
}

func (t *Tally) examineIndex(all map[string][]byte) error {
	var wrong []error
	entries := int64(0)
	for name, raw := range all {
		if !strings.HasPrefix(name, entryField) {
			continue
		}
		entries++
		if _, err := entryDeadline(raw); err != nil {
			wrong = append(wrong, fmt.Errorf("field %q: %w", name, err))
		}
	}
	t.Entries += int(entries)
	n, err := number(all[countField], 0)
	if err == nil && n != entries {
		err = fmt.Errorf("index: it counts %d entries and has %d", n, entries)
	}
	_, soon := number(all[soonField], 0)
	return errors.Join(append(wrong, err, soon)...)
}
