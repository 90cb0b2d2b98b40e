package file_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache"
	"github.com/authhost/authhost/host/cache/file"
)

var rounds = flag.Int("rounds", 10, "how often writers are killed")

const (
	writerEnv = "AUTHHOST_TEST_WRITER" // "DIR\nNAME": this process is a writer
	writers   = 3                      // processes at once
	lanes     = 3                      // goroutines of each, every one with a slot of its own
)

func TestMain(m *testing.M) {
	if what := os.Getenv(writerEnv); what != "" {
		dir, name, _ := strings.Cut(what, "\n")
		if err := writeUntilKilled(dir, name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeUntilKilled is the writer: in every lane it takes a slot from one state
// to the next, and says so once that is acknowledged; in between it adds one to
// two counters that all processes share, by compare-and-put and by Add, and
// puts a member on a due-list.
func writeUntilKilled(dir, name string) error {
	d, err := file.Open(file.Options{Dir: dir, LockTimeout: time.Minute})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for lane := range lanes {
		go func() { failed <- writeLane(d, fmt.Sprint(name, " ", lane)) }()
	}
	return <-failed
}

func writeLane(d *file.Driver, slot string) error {
	ctx, expires := context.Background(), time.Now().Add(time.Hour)
	was, err := d.All(ctx, slot)
	if err != nil {
		return err
	}
	for n := decode(was["n"]) + 1; ; n++ {
		c := cache.Change{Expires: expires}
		if len(was) == 0 {
			c.If = []cache.Field{{Name: "n"}}
		} else {
			c.If = []cache.Field{{Name: "n", Value: was["n"]}}
		}
		next := state(n)
		for f, v := range next {
			c.Put = append(c.Put, cache.Field{Name: f, Value: v})
		}
		for f := range was {
			if _, stays := next[f]; !stays {
				c.Delete = append(c.Delete, f)
			}
		}
		if applied, err := d.Change(ctx, slot, c); err != nil || !applied {
			return fmt.Errorf("%s %d: applied %v, %w", slot, n, applied, err)
		}
		was = next
		fmt.Printf("%s\t%d\n", slot, n) // one write: whole lines
		if n%2 == 0 {
			if err := addOne(d); err != nil {
				return err
			}
			fmt.Println("shared\t1")
		}
		if n%3 == 0 {
			if _, err := d.Add(ctx, "shared", "sum", 1, expires); err != nil {
				return err
			}
			fmt.Println("sum\t1")
			member := fmt.Sprint(slot, " ", n)
			if err := d.PutDue(ctx, 0, member, start); err != nil {
				return err
			}
			fmt.Print("due ", member, "\t1\n")
		}
	}
}

func addOne(d *file.Driver) error {
	for {
		v, err := d.Get(context.Background(), "shared", "count")
		if err != nil {
			return err
		}
		applied, err := d.Change(context.Background(), "shared", cache.Change{If: []cache.Field{{Name: "count", Value: v[0]}},
			Put: []cache.Field{{Name: "count", Value: encode(decode(v[0]) + 1)}}, Expires: time.Now().Add(time.Hour)})
		if err != nil || applied {
			return err
		}
	}
}

// state is what a slot holds after its nth change: a field that every change
// replaces, one of a length that varies, and one that only some states have.
func state(n uint64) map[string][]byte {
	s := map[string][]byte{"n": encode(n), "payload": bytes.Repeat([]byte{byte(n)}, int(n*2477%9000))}
	if n%3 != 0 {
		s["ended when n is a multiple of 3"] = encode(n)
	}
	return s
}

func encode(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func decode(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Writers are killed in the middle of their work, again and again: whatever
// they had acknowledged is there, what they had deleted is gone, what they were
// at is there as a whole or not at all, no addition to the shared counters and
// no member of the due-list is lost, everything can be read, and a watch has
// told of it all.
func TestKilledWriters(t *testing.T) {
	dir := t.TempDir()
	d := open(t, file.Options{Dir: dir, SweepRows: 1 << 20, SweepTime: time.Hour})
	acknowledged, due, leftovers := map[string]uint64{}, map[string]bool{}, 0
	var watched mirror
	watching(t, d, func(slot string) { watched.read(t, d, slot) })
	for round := range *rounds {
		for slot, n := range killRound(t, dir) {
			if member, ok := strings.CutPrefix(slot, "due "); ok {
				due[member] = true
				continue
			}
			if counter(slot) {
				n += acknowledged[slot]
			}
			acknowledged[slot] = n
		}
		readAll(t, d, slices.Collect(maps.Keys(acknowledged)), due)
		now := start.Add(time.Duration(round) * time.Minute)
		checkDue(t, d, due, now, now.Add(time.Minute))
		for slot, n := range acknowledged {
			if counter(slot) {
				continue
			}
			eventually(t, "the last change of "+slot+" was told", func() bool { return watched.holds(t, d, slot) })
			all, err := d.All(t.Context(), slot)
			if err != nil {
				t.Fatalf("round %d: %s: %v", round, slot, err)
			}
			got := decode(all["n"])
			if got != n && got != n+1 {
				t.Errorf("round %d: %s is in state %d, acknowledged was %d", round, slot, got, n)
			}
			if !maps.EqualFunc(all, state(got), bytes.Equal) {
				t.Errorf("round %d: %s is not what state %d is", round, slot, got)
			}
			acknowledged[slot] = got // the next writer goes on from there, and may be killed before it says so
		}
		v, err := d.Get(t.Context(), "shared", "count", "sum")
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		summed, _ := strconv.ParseUint(string(v[1]), 10, 64)
		for name, n := range map[string]uint64{"shared": decode(v[0]), "sum": summed} {
			if most := acknowledged[name] + uint64((round+1)*writers*lanes); n < acknowledged[name] || n > most {
				t.Errorf("round %d: %s is %d, acknowledged were %d, begun at most %d", round, name, n, acknowledged[name], most)
			}
		}
		removed, err := d.Sweep(t.Context())
		if err != nil {
			t.Errorf("round %d: sweep: %v", round, err)
		}
		leftovers += removed
	}
	if len(acknowledged) != writers*lanes+2 || len(due) == 0 {
		t.Errorf("%d slots and counters were written, want %d, and %d members put", len(acknowledged), writers*lanes+2, len(due))
	}
	for _, name := range filesBelow(t, dir) {
		if strings.HasPrefix(name, "new-") {
			t.Errorf("%s is still there after a sweep", name)
		}
	}
	t.Logf("%d kills, %d changes acknowledged, %d cut in mid-write", *rounds*writers, sum(acknowledged), leftovers)
}

// counter says whether a line of a writer's is one more of something.
func counter(line string) bool { return line == "shared" || line == "sum" }

func sum(m map[string]uint64) (total uint64) {
	for _, n := range m {
		total += n
	}
	return total
}

// killRound runs writers until each has acknowledged some changes, kills them
// and returns the last that each slot was acknowledged at.
func killRound(t *testing.T, dir string) map[string]uint64 {
	var mu sync.Mutex
	acknowledged := map[string]uint64{}
	var wg sync.WaitGroup
	for w := range writers {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), writerEnv+"="+dir+"\nwriter "+fmt.Sprint(w))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		patience := 10 + rand.IntN(30)
		wg.Go(func() {
			lines, seen := bufio.NewScanner(out), 0
			for lines.Scan() { // to the end: what was said before the kill counts
				slot, number, _ := strings.Cut(lines.Text(), "\t")
				var n uint64
				fmt.Sscan(number, &n)
				mu.Lock()
				if counter(slot) {
					n += acknowledged[slot]
				}
				acknowledged[slot] = n
				mu.Unlock()
				if seen++; seen == patience {
					cmd.Process.Kill()
				}
			}
			if err := cmd.Wait(); err == nil || seen < patience {
				t.Errorf("writer %d ended by itself after %d lines: %v: %s", w, seen, err, stderr.String())
			}
		})
	}
	wg.Wait()
	return acknowledged
}
