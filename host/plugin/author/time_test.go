package author_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host/plugin/author"
)

// When the time is up the report says of which cases nothing is known, and why,
// and a CI system is told of each.
func TestTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 0, errors.New("the cases took longer than 0s"))
	defer cancel()
	r, err := open(t, editorsOnly(), three, "").Test(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(t, r); got != "gate: 3 cases, 0 passed, 0 failed, 3 not asked, on both engines (x s)\n" {
		t.Error(got)
	}
	if err := r.Err(); err == nil || err.Error() != "gate: the cases took longer than 0s: 3 of 3 cases were not asked" {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := r.WriteJUnit(&b); err != nil || strings.Count(b.String(), `<error message="not asked: the cases took longer than 0s" type="not asked">`) != 3 {
		t.Errorf("%s%v", &b, err)
	}
}

// Cases that pass and that no host would wait for are said to be so.
func TestSlowCases(t *testing.T) {
	slow := author.Report{Plugin: "gate", Cases: []author.Case{{Took: 12 * time.Second}, {Took: 12500 * time.Millisecond}}}
	const want = "gate: the answers took 24.5 s; a host refuses a version whose cases take more than 20s, load included\n"
	if got := shown(t, &slow); !strings.Contains(got, want) || slow.Err() != nil {
		t.Errorf("%s%v", got, slow.Err())
	}
	slow.Cases = slow.Cases[1:]
	if got := shown(t, &slow); strings.Contains(got, "refuses") {
		t.Error(got)
	}
}
