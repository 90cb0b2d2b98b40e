package abi_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/abi/internal/vectors"
)

func TestFrameVectors(t *testing.T) {
	good, _ := vectors.Frames(t, "testdata")
	for _, v := range good {
		t.Run(v.Name, func(t *testing.T) {
			hook, want := hookOf(t, v.Hook), []byte(v.Hex)
			buf := slices.Repeat([]byte{0xa5}, v.Buffer)
			var w abi.FrameWriter
			w.Reset(buf, hook, len(v.Fields))
			for _, f := range v.Fields {
				write(&w, f)
			}
			if got := buf[:w.Finish()]; !bytes.Equal(got, want) {
				t.Fatalf("wrote\n%x, want\n%x", got, want)
			}
			if rest := buf[len(want):]; !bytes.Equal(rest, slices.Repeat([]byte{0xa5}, len(rest))) {
				t.Error("wrote past the frame's end")
			}

			f, err := abi.ParseFrame(want)
			if err != nil {
				t.Fatal(err)
			}
			if f.Hook() != hook || f.Len() != len(v.Fields) {
				t.Errorf("hook %s with %d fields, want %s with %d", f.Hook(), f.Len(), hook, len(v.Fields))
			}
			for id := range abi.Field(5000) {
				checkField(t, f, id, v)
			}
		})
	}
}

// checkField compares what the frame has of a field with what the vector says.
func checkField(t *testing.T, f abi.Frame, id abi.Field, v vectors.Frame) {
	t.Helper()
	data, lazy, ok := f.Lookup(id)
	i := slices.IndexFunc(v.Fields, func(f vectors.Field) bool { return f.ID == id })
	if i < 0 {
		if ok || lazy || data != nil {
			t.Errorf("field %d is there", id)
		}
		return
	}
	want := v.Fields[i]
	if !ok || lazy != want.Lazy {
		t.Fatalf("field %s: there %t, lazy %t", want.Name, ok, lazy)
	}
	if lazy {
		if data != nil {
			t.Errorf("lazy field %s has data", want.Name)
		}
		return
	}
	if !bytes.Equal(data, want.Value()) {
		t.Errorf("field %s is %x, want %x", want.Name, data, want.Value())
	}
	if want.List != nil {
		var got []string
		for item := range abi.Items(data) {
			got = append(got, string(item))
		}
		if !slices.Equal(got, want.List) {
			t.Errorf("field %s lists %q, want %q", want.Name, got, want.List)
		}
	}
	for item := range abi.Items(data) {
		if want.Candidates == nil {
			break
		}
		c, err := abi.ParseCandidate(item)
		if err != nil || c != abi.Candidate(want.Candidates[0]) {
			t.Errorf("candidate %+v, %v, want %+v", c, err, want.Candidates[0])
		}
		want.Candidates = want.Candidates[1:]
	}
	if len(want.Candidates) > 0 {
		t.Errorf("%d candidates are missing", len(want.Candidates))
	}
}

func TestBadFrames(t *testing.T) {
	_, bad := vectors.Frames(t, "testdata")
	for _, v := range bad {
		if _, err := abi.ParseFrame([]byte(v.Hex)); err == nil {
			t.Errorf("%s: no error", v.Name)
		}
	}
}

func TestFrameWriterTakesNoMoreFieldsThanItWasToldOf(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a field went over the data of another")
		}
	}()
	var w abi.FrameWriter
	w.Reset(make([]byte, abi.MinBuffer), abi.OnAuthorize, 1)
	w.Text(abi.FieldMethod, "GET")
	w.Text(abi.FieldPath, "/")
}

// Fewer fields than announced leave room in the table unused; the frame is
// whole all the same.
func TestFrameWriterWithFewerFields(t *testing.T) {
	buf := slices.Repeat([]byte{0xa5}, abi.MinBuffer)
	var w abi.FrameWriter
	w.Reset(buf, abi.OnAuthorize, 8)
	w.Text(abi.FieldMethod, "GET")
	f, err := abi.ParseFrame(buf[:w.Finish()])
	if err != nil {
		t.Fatal(err)
	}
	if data, _, ok := f.Lookup(abi.FieldMethod); !ok || string(data) != "GET" {
		t.Errorf("method %q", data)
	}
}

func TestCandidateLongerThanItsLengthCanSay(t *testing.T) {
	long := strings.Repeat("n", 1<<16)
	list := abi.AppendCandidate(nil, abi.Candidate{Source: 1, Kind: 1, Verdict: 4, Name: long, UserID: long})
	list = abi.AppendCandidate(list, abi.Candidate{Source: 2, Name: "kc_auth"})
	var got []abi.Candidate
	for item := range abi.Items(list) {
		c, err := abi.ParseCandidate(item)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	want := []abi.Candidate{
		{Source: 1, Kind: 1, Verdict: 4, Name: long[1:], UserID: long[1:]},
		{Source: 2, Name: "kc_auth"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d candidates came out otherwise than they went in", len(got))
	}
}

func TestBadListsAndCandidates(t *testing.T) {
	list := abi.AppendList(nil, []string{"viewer", "editor"})
	for n := range list {
		count := 0
		for range abi.Items(list[:n]) {
			count++
		}
		if want := n / 10; count != want {
			t.Errorf("a list cut at %d has %d items, want %d", n, count, want)
		}
	}
	for range abi.Items([]byte{0xff, 0xff, 0xff, 0xff, 'x'}) {
		t.Error("an item of 4 GiB in 5 bytes")
	}
	item := abi.AppendCandidate(nil, abi.Candidate{Source: 1, Name: "n", UserID: "u"})[4:]
	for n := range item {
		if c, err := abi.ParseCandidate(item[:n]); err == nil {
			t.Errorf("a candidate cut at %d is %+v", n, c)
		}
	}
}

func writeFrame(w *abi.FrameWriter, buf []byte, roles []string) int {
	w.Reset(buf, abi.OnAuthorize, 19)
	w.Text(abi.FieldMethod, "POST")
	w.Text(abi.FieldScheme, "https")
	w.Text(abi.FieldHost, "console.example")
	w.Text(abi.FieldPath, "/api/gitops/sync")
	w.Text(abi.FieldRawPath, "/api/gitops/sync")
	w.Text(abi.FieldQuery, "dry=1")
	w.Text(abi.FieldClient, "203.0.113.7")
	w.Number(abi.FieldTime, 1767225600)
	w.Text(abi.FieldUserID, "usr_mfrggzdfmztwq2lknnwg23tpobyxe43u")
	w.List(abi.FieldRoles, roles)
	w.List(abi.FieldGroups, nil)
	return w.Finish()
}

func TestFrameWriterAllocatesNothing(t *testing.T) {
	buf := make([]byte, abi.MinBuffer)
	var w abi.FrameWriter
	for _, roles := range [][]string{{"viewer", "editor"}, slices.Repeat([]string{"editor"}, 1000)} {
		if n := testing.AllocsPerRun(100, func() { writeFrame(&w, buf, roles) }); n != 0 {
			t.Errorf("%d roles: %v allocations", len(roles), n)
		}
	}
}

func BenchmarkFrameWriter(b *testing.B) {
	buf, roles := make([]byte, abi.MinBuffer), []string{"viewer", "editor"}
	var w abi.FrameWriter
	b.ReportAllocs()
	for b.Loop() {
		writeFrame(&w, buf, roles)
	}
}

// FuzzParseFrame: no input makes the reader panic, and what it read can be
// written again and reads the same.
func FuzzParseFrame(f *testing.F) {
	good, bad := vectors.Frames(f, "testdata")
	for _, v := range slices.Concat(good, bad) {
		f.Add([]byte(v.Hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := abi.ParseFrame(b)
		if err != nil {
			return
		}
		ids := [...]abi.Field{1, 4, 6, 8, 11, 14, 32, 64, 4000}
		var w abi.FrameWriter
		buf := make([]byte, abi.MinBuffer+len(ids)*len(b))
		w.Reset(buf, frame.Hook(), len(ids))
		for _, id := range ids {
			data, lazy, ok := frame.Lookup(id)
			for item := range abi.Items(data) {
				if c, err := abi.ParseCandidate(item); err == nil && len(c.Name)+len(c.UserID)+8 > len(item) {
					t.Fatalf("candidate %+v of %d bytes", c, len(item))
				}
			}
			if ok && !lazy {
				w.Bytes(id, data)
			}
		}
		again, err := abi.ParseFrame(buf[:w.Finish()])
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			want, lazy, ok := frame.Lookup(id)
			got, _, there := again.Lookup(id)
			if there != (ok && !lazy) || !bytes.Equal(got, want) {
				t.Fatalf("field %d: %x, want %x", id, got, want)
			}
		}
	})
}
