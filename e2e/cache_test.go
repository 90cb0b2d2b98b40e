package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
)

// cacheCommand runs authhost cache and returns what it wrote on standard
// output and its exit code.
func cacheCommand(t testing.TB, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(artifacts(t), "authhost"), append([]string{"cache"}, args...)...)
	cmd.Env = environ(t)
	b, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(b) + string(exit.Stderr), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b), 0
}

// counted runs authhost cache and reads the numbers of its JSON output.
func counted(t testing.TB, args ...string) map[string]int {
	t.Helper()
	out, code := cacheCommand(t, append(args, "--output", "json")...)
	numbers := map[string]int{}
	if err := json.Unmarshal([]byte(out), &numbers); err != nil || code != 0 {
		t.Fatalf("cache %v: %d, %v\n%s", args, code, err, out)
	}
	return numbers
}

// wantSound expects that authhost cache check finds nothing wrong.
func wantSound(t testing.TB, config string) {
	t.Helper()
	if out, code := cacheCommand(t, "check", "--config", config); code != 0 {
		t.Errorf("cache check: exit %d\n%s", code, out)
	}
}

func wantNumbers(t testing.TB, what string, got map[string]int, want string) {
	t.Helper()
	for _, pair := range strings.Fields(want) {
		name, number, _ := strings.Cut(pair, "=")
		if n, ok := got[name]; !ok || fmt.Sprint(n) != number {
			t.Errorf("%s: %s is %d (%v), want %s", what, name, n, ok, number)
		}
	}
}

// Sessions move from driver to driver without being ended, and whatever was
// ended or forbidden stays so, wherever it was.
func TestCacheMovesFromDriverToDriver(t *testing.T) {
	idp, operators := newIssuer(t), filepath.Join(t.TempDir(), "operators")
	writeFile(t, operators, "ann "+operatorToken+"\n")
	dirs := []string{t.TempDir(), t.TempDir()}
	type place struct{ name, config string }
	var places []place
	etcd := startShared(t, "etcd")
	for _, p := range []place{{"file", folderCache(dirs[0])}, {"redis", startRedis(t).cache()}, {"etcd", etcd.config(etcd.at, 0)}, {"another folder", folderCache(dirs[1])}} {
		file := filepath.Join(t.TempDir(), "authhost.yaml")
		writeFile(t, file, listen+idp.realm("")+p.config+open+fmt.Sprintf("operator: {token_file: %q}\n", operators))
		places = append(places, place{p.name, file})
	}
	serveAt := func(i int) *authhost {
		h := serveFile(t, places[i].config)
		h.awaitReady(t)
		return h
	}
	copyOn := func(i int) map[string]int {
		return counted(t, "copy", "--from", places[i].config, "--to", places[i+1].config)
	}

	h := serveAt(0)
	jwt := func(user, id string) string { return idp.token(t, user, map[string]any{"jti": id}) }
	var live, ended []string
	alice := jwt("alice", "a1")
	kept, gone := h.login(t, alice), h.login(t, alice)
	h.logout(t, bearer(gone.token)...)
	h.logout(t, bearer(jwt("alice", "a2"))...)
	live, ended = append(live, kept.token, alice), append(ended, gone.token, jwt("alice", "a2"))
	as := func(user, verb string) {
		t.Helper()
		id := host.UserID("main", idp.url, user)
		if a := ask(t, "POST", h.admin+"/v1/system/realms/main/users/"+id+"/"+verb, bearer(operatorToken)...); a.status != http.StatusNoContent {
			t.Fatalf("%s %s: %s", verb, user, a)
		}
	}
	bob := jwt("bob", "b1")
	out := h.login(t, bob)
	as("bob", "logout")
	off := h.login(t, jwt("carol", "c1"))
	as("carol", "deactivate")
	ended = append(ended, bob, out.token, off.token, jwt("carol", "c2"))
	later := h.login(t, jwt("dave", "d1"))
	live = append(live, later.token)
	for i := range 20 {
		live = append(live, h.login(t, jwt(fmt.Sprint("user ", i), "x")).token)
	}
	judge := func(where string) {
		t.Helper()
		for i, token := range live {
			h.expect(t, http.StatusOK, fmt.Sprintf("%s: live %d", where, i), bearer(token)...)
		}
		for i, token := range ended {
			h.expect(t, http.StatusUnauthorized, fmt.Sprintf("%s: ended %d", where, i), bearer(token)...)
		}
	}
	judge("at first")

	// Beside a host that goes on serving: what it does then follows.
	wantNumbers(t, "beside a host", copyOn(0), "users=24 sessions=22 new=24 refused=0")
	h.logout(t, bearer(later.token)...)
	live = live[:2:2]
	for i := range 20 {
		live = append(live, h.login(t, jwt(fmt.Sprint("user ", i), "y")).token)
	}
	ended = append(ended, later.token)
	for i := range places {
		if i > 0 {
			h = serveAt(i)
		}
		judge("on " + places[i].name)
		wantNumbers(t, places[i].name, counted(t, "check", "--config", places[i].config), "problems=0 deactivated=1 others=0")
		stats := counted(t, "stats", "--config", places[i].config)
		wantNumbers(t, places[i].name, stats, "sessions=41 problems=0 deactivated=1 revocations=1 overdue=0")
		if stats["due"] < 20 || stats["bytes_per_session"] < 100 || stats["bytes"] < 41*100 {
			t.Errorf("%s: %v", places[i].name, stats)
		}
		h.stop(t)
		if i+1 == len(places) {
			break
		}
		got := copyOn(i)
		wantNumbers(t, "from "+places[i].name, got, "sessions=41 refused=0")
		again := copyOn(i)
		wantNumbers(t, "again from "+places[i].name, again, fmt.Sprintf("users=%d sessions=41 new=0 renewed=0 removed=0 refused=0", got["users"]))
	}
	if out, code := cacheCommand(t, "copy", "--from", places[0].config, "--to", places[0].config); code != 1 || !strings.Contains(out, "the same cache") {
		t.Errorf("onto itself: %d %s", code, out)
	}
	// The second folder was in use: the source cannot undo what ended there.
	h = serveAt(3)
	h.logout(t, bearer(kept.token)...)
	h.stop(t)
	counted(t, "copy", "--from", places[2].config, "--to", places[3].config)
	h = serveAt(3)
	h.expect(t, http.StatusUnauthorized, "ended in the target", bearer(kept.token)...)
}

// Damage on disk is found and named, by check, stats and copy, which see the
// rest all the same; tokens are in nobody's output.
func TestCacheCheckFindsDamage(t *testing.T) {
	idp, dir := newIssuer(t), t.TempDir()
	h := serve(t, listen+idp.realm("")+folderCache(dir)+open)
	h.awaitReady(t)
	var tokens []string
	for i := range 6 {
		tokens = append(tokens, h.login(t, idp.token(t, fmt.Sprint("user ", i), nil)).token)
	}
	h.stop(t)
	var slots []string
	if err := filepath.WalkDir(filepath.Join(dir, "slots"), func(path string, _ fs.DirEntry, err error) error {
		if len(filepath.Base(path)) == 64 {
			slots = append(slots, path)
		}
		return err
	}); err != nil || len(slots) != 6 {
		t.Fatal(slots, err)
	}
	if out, code := cacheCommand(t, "check", "--config", h.config); code != 0 || out != "6 users, 6 sessions that count, 0 to be swept, 0 revoked tokens, 0 keys of plugins: 0 problems\n" {
		t.Fatalf("sound: %d %s", code, out)
	}
	content := make([][]byte, len(slots))
	for i, path := range slots {
		var err error
		if content[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	flipped := append([]byte{}, content[1]...)
	flipped[len(flipped)/2] ^= 1
	writeFile(t, slots[0], string(content[0][:len(content[0])-7]))
	writeFile(t, slots[1], string(flipped))
	writeFile(t, slots[2], string(content[3]))
	writeFile(t, slots[4], "")
	due, err := filepath.Glob(filepath.Join(dir, "due", "*", "?", "*"))
	if err != nil || len(due) != 6 {
		t.Fatal(due, err)
	}
	writeFile(t, due[0], "authhost due 1\n")
	want := []string{"torn", "its checksum differs", "holds another slot", "", "not a file of a format"}

	target := filepath.Join(t.TempDir(), "authhost.yaml")
	writeFile(t, target, listen+idp.realm("")+startRedis(t).cache()+open)
	check, code := cacheCommand(t, "check", "--config", h.config)
	if code != 1 || !strings.Contains(check, "2 users, 2 sessions that count, 0 to be swept, 0 revoked tokens, 0 keys of plugins: 5 problems\n") ||
		!strings.Contains(check, "member "+filepath.Base(due[0])[34:]+": not a file of a format") {
		t.Errorf("%d %s", code, check)
	}
	moved, code := cacheCommand(t, "copy", "--from", h.config, "--to", target)
	if code != 1 || !strings.Contains(moved, "2 users with 2 sessions: 2 copied,") {
		t.Errorf("%d %s", code, moved)
	}
	for i, what := range want {
		for name, out := range map[string]string{"check": check, "copy": moved} {
			found := false
			for line := range strings.Lines(out) {
				found = found || strings.Contains(line, filepath.Base(slots[i])) && strings.Contains(line, what)
			}
			if found != (what != "") {
				t.Errorf("%s: %s, want it said %q:\n%s", name, slots[i], what, out)
			}
		}
	}
	stats, code := cacheCommand(t, "stats", "--config", h.config)
	if code != 1 || !strings.Contains(stats, "\nusers ") {
		t.Errorf("%d %s", code, stats)
	}
	for _, token := range tokens {
		if strings.Contains(check+moved+stats, token[40:]) {
			t.Error("a token is in the output")
		}
	}
	moving := serveFile(t, target)
	moving.awaitReady(t)
	found := 0
	for _, token := range tokens {
		if moving.at(t, "console.example", bearer(token)...).status == http.StatusOK {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d sessions were moved", found)
	}
}
