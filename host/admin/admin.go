package admin

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/authhost/authhost/host"
)

// Options is what the endpoints work with.
type Options struct {
	// Operators returns those of the current configuration.
	Operators func() Operators
	// Reload reads the configuration again and applies it whole or not at all.
	Reload func(context.Context) error
	// Fail writes an error to the wire.
	Fail func(w http.ResponseWriter, err error)
	Log  *slog.Logger
}

// rule says who may use a route. The zero value is nobody.
type rule uint8

const operator rule = 1

// route is one endpoint. One without a rule does not start.
type route struct {
	pattern string // of http.ServeMux
	who     rule
	do      func(w http.ResponseWriter, r *http.Request, caller string)
}

// New returns the handler of the admin listener.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range []route{
		{"POST /v1/config/reload", operator, o.reload},
	} {
		if rt.who != operator {
			panic("admin: no rule for " + rt.pattern)
		}
		mux.HandleFunc(rt.pattern, o.guard(rt))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if o.authenticate(w, r) != "" {
			o.Fail(w, &host.Error{Kind: host.NotFound, Public: "no such endpoint"})
		}
	})
	return mux
}

// guard is the one place where it is decided who may.
func (o Options) guard(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if caller := o.authenticate(w, r); caller != "" {
			rt.do(w, r, caller)
		}
	}
}

// authenticate returns the operator's name; empty when it has answered 401.
func (o Options) authenticate(w http.ResponseWriter, r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) == 1 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			if name, ok := o.Operators().Name(strings.TrimLeft(token, " ")); ok {
				return name
			}
		}
	}
	o.Fail(w, &host.Error{Kind: host.Unauthenticated, Public: "unauthenticated"})
	return ""
}

func (o Options) reload(w http.ResponseWriter, r *http.Request, caller string) {
	err := o.Reload(r.Context())
	o.Log.LogAttrs(r.Context(), slog.LevelInfo, "configuration reload asked for", slog.String("operator", caller), slog.Bool("applied", err == nil))
	if err != nil {
		o.Fail(w, &host.Error{Kind: host.Refused, Public: err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
