package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/edge"
)

// Question is one request to be explained.
type Question struct {
	Method string
	Header http.Header
	URL    string // absolute
}

// Explain decides one request as a running host would, by the same files and
// the same cache, in which plugins change nothing, and writes each step to w;
// the last line is "decision: STATUS REASON". Of what plugins want to have
// fetched only GET and HEAD are sent. An error means that nothing was decided
// because the configuration cannot be used.
func Explain(ctx context.Context, o Options, q Question, w io.Writer) error {
	d, err := openTo(ctx, o, true)
	if err != nil {
		return err
	}
	err = d.explain(ctx, q, w)
	return errors.Join(err, d.Close(ctx))
}

func (d *Daemon) explain(ctx context.Context, q Question, w io.Writer) error {
	var lines strings.Builder
	decision := d.decideAloud(ctx, q, &lines)
	fmt.Fprintf(&lines, "decision: %d %s\n", edge.Status(decision.Kind), decision.Reason)
	_, err := io.WriteString(w, lines.String())
	return err
}

func (d *Daemon) decideAloud(ctx context.Context, q Question, w io.Writer) host.Decision {
	snapshot := d.pipeline.Acquire()
	defer snapshot.Release()
	req, err := edge.ParseURL(snapshot, q.Method, q.URL, q.Header, netip.IPv6Loopback())
	if err != nil {
		fmt.Fprintf(w, "request: %v\n", err)
		kind, reason := host.Explain(err)
		return host.Decision{Kind: kind, Reason: reason}
	}
	event := host.Event{Trace: func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }}
	return d.pipeline.Decide(ctx, snapshot, req, &event)
}
