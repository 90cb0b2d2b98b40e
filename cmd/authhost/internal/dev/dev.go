package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const saveInterval = 300 * time.Millisecond // between two looks at the sources

// Environment is what one `authhost dev` runs beside the host.
type Environment struct {
	// ConfigFile is the configuration for the host.
	ConfigFile string

	dir      string
	plugins  []*plugin
	issuer   *issuer
	upstream string // its URL
	servers  []*http.Server
	sockets  []net.Listener
	messages io.Writer
}

// Prepare builds the plugins below dir, opens the issuer's and the upstream's
// sockets and writes the configuration, all in a temporary folder that Close
// removes. Progress and build errors are told to messages.
func Prepare(ctx context.Context, dir string, messages io.Writer) (*Environment, error) {
	temp, err := os.MkdirTemp("", "authhost-dev-")
	if err != nil {
		return nil, err
	}
	e := &Environment{dir: temp, messages: messages, ConfigFile: filepath.Join(temp, "authhost.yaml")}
	if err := e.prepare(ctx, dir); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Environment) prepare(ctx context.Context, dir string) (err error) {
	if e.plugins, err = findPlugins(dir, e.dir); err != nil {
		return err
	}
	for _, p := range e.plugins {
		fmt.Fprintf(e.messages, "building plugin %s\n", p.Name)
		if err := p.build(ctx); err != nil {
			return err
		}
	}
	issuerSocket, err := Listen("127.0.0.1:8090")
	if err != nil {
		return err
	}
	upstreamSocket, err := Listen("127.0.0.1:3000")
	if err != nil {
		return errors.Join(err, issuerSocket.Close())
	}
	e.sockets = []net.Listener{issuerSocket, upstreamSocket}
	if e.issuer, err = newIssuer("http://" + issuerSocket.Addr().String()); err != nil {
		return err
	}
	for _, h := range []http.Handler{e.issuer.handler(), upstream()} {
		e.servers = append(e.servers, &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second})
	}
	e.upstream = "http://" + upstreamSocket.Addr().String()
	return e.writeConfig()
}

// Listen opens addr, or any free port of the same host if it is taken.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	host, _, splitErr := net.SplitHostPort(addr)
	if splitErr != nil {
		return nil, splitErr
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

// writeConfig ties everything together. The addresses are wishes, see Listen.
func (e *Environment) writeConfig() error {
	var plugins []any
	var chain, told []string
	for _, p := range e.plugins {
		// What a plugin keeps here is thrown away with all the rest, and there is
		// nobody to call but the demo platform.
		entry := map[string]any{"name": p.Name, "module": p.module, "capabilities": []any{"session", map[string]any{"kv": map[string]any{"keys": 1000}},
			map[string]any{"http": map[string]any{"hosts": []string{strings.TrimPrefix(e.upstream, "http://")}, "private": true}}}}
		config, err := p.config()
		if err != nil {
			return err
		}
		if config != nil {
			entry["config"] = config
		}
		plugins = append(plugins, entry)
		routes, realms := p.asked()
		if routes {
			chain = append(chain, p.Name)
		}
		if realms {
			told = append(told, p.Name)
		}
	}
	content, err := yaml.Marshal(map[string]any{
		"listen":   map[string]string{"public": "127.0.0.1:8080", "admin": "127.0.0.1:8081", "telemetry": "127.0.0.1:9090", "proxy": "127.0.0.1:8088"},
		"upstream": e.upstream,
		"cache":    map[string]any{"driver": "file", "file": map[string]any{"dir": filepath.Join(e.dir, "data")}},
		"realms": []any{map[string]any{
			"name":  "main",
			"hosts": []string{"*"},
			"issuers": []any{map[string]any{
				"issuer": e.issuer.url, "audiences": []string{audience}, "algorithms": []string{"RS256"}, "jwks_url": e.issuer.url + "/jwks.json",
			}},
			"credentials": []any{map[string]string{"header": "Authorization"}, map[string]string{"header": "X-Auth-Token"}, map[string]string{"cookie": "kc_auth"}},
			"session":     map[string]any{"cookie": map[string]any{"name": "authhost", "insecure_http": true}},
			"plugins":     told,
		}},
		"plugins": plugins,
		"routes": []any{
			map[string]any{"path": "/healthz", "authenticate": "none"},
			map[string]any{"path": "/**", "plugins": chain, "default": "allow"},
		},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(e.ConfigFile, content, 0o600)
}

// Run serves the issuer and the upstream, and rebuilds plugins whose source
// is saved, until ctx ends.
func (e *Environment) Run(ctx context.Context) {
	for i, s := range e.servers {
		go func() {
			if err := s.Serve(e.sockets[i]); !errors.Is(err, http.ErrServerClosed) {
				fmt.Fprintln(e.messages, err)
			}
		}()
	}
	t := time.NewTicker(saveInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, p := range e.plugins {
			if !p.changed() {
				continue
			}
			fmt.Fprintf(e.messages, "building plugin %s\n", p.Name)
			err := p.build(ctx)
			if err == nil {
				err = e.writeConfig() // its example may have changed too
			}
			if err != nil && ctx.Err() == nil {
				fmt.Fprintf(e.messages, "%v\nthe last good version keeps serving\n", err)
			}
		}
	}
}

// Close ends the servers and removes the temporary folder.
func (e *Environment) Close() error {
	var problems []error
	for _, s := range e.servers {
		problems = append(problems, s.Close())
	}
	for _, l := range e.sockets {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			problems = append(problems, err)
		}
	}
	return errors.Join(append(problems, os.RemoveAll(e.dir))...)
}

// Welcome tells what to try, once the host, which listens on addr, is ready.
func (e *Environment) Welcome(ctx context.Context, w io.Writer, addr map[string]string) {
	if !ready(ctx, "http://"+addr["telemetry"]+"/readyz") {
		return
	}
	sync := fmt.Sprintf("http://%s/api/gitops/sync", addr["proxy"])
	as := func(user string) string {
		return fmt.Sprintf(`-H "Authorization: Bearer $(curl -s %s/token/%s)"`, e.issuer.url, user)
	}
	fmt.Fprintf(w, `
authhost is in front of a demo platform at http://%[1]s. Try:

curl -i -X POST %[2]s                              # 401: nobody
curl -i -X POST %[2]s %[3]s   # 403: viewer
curl -i -X POST %[2]s %[4]s   # 200: editor

A login makes a session that ends where you end it:

curl -i -X POST http://%[6]s/v1/login %[5]s
curl -i -X POST http://%[6]s/v1/logout -H "X-Auth-Token: TOKEN"

Metrics: http://%[7]s/metrics   Configuration: %[8]s
Save a plugin's source: it is built, and requests meet it once the log says "plugin loaded". Ctrl-C ends all of this.

`, addr["proxy"], sync, as("viewer"), as("editor"), as("admin"), addr["public"], addr["telemetry"], e.ConfigFile)
}

// ready waits until url answers 200; false when ctx ended before.
func ready(ctx context.Context, url string) bool {
	for {
		if r, err := http.Get(url); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}
