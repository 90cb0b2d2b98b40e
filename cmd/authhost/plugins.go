package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// runPlugins is plugins list, show, reload and rollback.
func runPlugins(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, verb, name, err := newClientFlags("plugins", stderr).parse(args, "list", "show NAME", "reload NAME", "rollback NAME")
	if err != nil {
		return err
	}
	path := "/v1/plugins/" + url.PathEscape(name)
	switch verb {
	case "list":
		return c.listPlugins(ctx, stdout)
	case "show":
		return c.showPlugin(ctx, "GET", path, stdout)
	}
	return c.showPlugin(ctx, "POST", path+"/"+verb, stdout)
}

type remotePlugin struct {
	Name  string `json:"name"`
	State string `json:"state"`
	remoteGeneration
	LastError string `json:"last_error"`
	Health    struct {
		Instances int   `json:"instances"`
		Idle      int   `json:"idle"`
		Memory    int64 `json:"memory"`
		Breakers  []struct {
			Hook string `json:"hook"`
			Open bool   `json:"open"`
		} `json:"breakers"`
	} `json:"health"`
	Previous *remoteGeneration `json:"previous"`
	Last     remoteAttempt     `json:"last_attempt"`
}

type remoteGeneration struct {
	SHA256   string    `json:"sha256"`
	Version  string    `json:"version"`
	Number   int       `json:"generation"`
	LoadedAt time.Time `json:"loaded_at"`
	Hooks    []string  `json:"hooks"`
}

type remoteAttempt struct {
	At      time.Time `json:"at"`
	SHA256  string    `json:"sha256"`
	Version string    `json:"version"`
	Steps   []struct {
		Name    string  `json:"step"`
		Outcome string  `json:"outcome"`
		Detail  string  `json:"detail"`
		Millis  float64 `json:"ms"`
	} `json:"steps"`
	Asked   int            `json:"asked"`
	Changed int            `json:"changed"`
	Changes []remoteChange `json:"changes"`
}

type remoteChange struct {
	Method string       `json:"method"`
	Host   string       `json:"host"`
	Path   string       `json:"path"`
	UserID string       `json:"user_id"`
	Roles  []string     `json:"roles"`
	Old    remoteAnswer `json:"old"`
	New    remoteAnswer `json:"new"`
}

type remoteAnswer struct {
	Decision string            `json:"decision"`
	Status   int               `json:"status"`
	Reason   string            `json:"reason"`
	Headers  map[string]string `json:"headers"`
}

func (c *client) listPlugins(ctx context.Context, stdout io.Writer) error {
	var all remotePage[remotePlugin]
	if shown, err := c.pass(ctx, "GET", "/v1/plugins", &all, stdout); shown || err != nil {
		return err
	}
	rows := []string{"PLUGIN\tSTATE\tGENERATION\tVERSION\tSHA256\tLOADED\tLAST ERROR"}
	for _, p := range all.Items {
		rows = append(rows, strings.Join([]string{p.Name, p.State, fmt.Sprint(p.Number), dash(p.Version), short(p.SHA256),
			readable(p.LoadedAt), dash(firstLine(p.LastError))}, "\t"))
	}
	return writeTable(stdout, rows...)
}

// showPlugin shows the plugin that a request answers with.
func (c *client) showPlugin(ctx context.Context, method, path string, stdout io.Writer) error {
	var p remotePlugin
	if shown, err := c.pass(ctx, method, path, &p, stdout); shown || err != nil {
		return err
	}
	previous := "none"
	if p.Previous != nil {
		previous = p.Previous.String()
	}
	health := fmt.Sprintf("%d instances, %d idle, %.1f MiB", p.Health.Instances, p.Health.Idle, float64(p.Health.Memory)/(1<<20))
	for _, b := range p.Health.Breakers {
		if b.Open {
			health += fmt.Sprintf("; %s fails whoever asks, and is not asked for a while", b.Hook)
		}
	}
	if err := writeTable(stdout,
		"plugin\t"+p.Name,
		"state\t"+p.State,
		"serves\t"+p.remoteGeneration.String(),
		"hooks\t"+strings.Join(p.Hooks, " "),
		"health\t"+health,
		"previous\t"+previous,
		"last error\t"+dash(firstLine(p.LastError)),
	); err != nil {
		return err
	}
	return p.Last.write(stdout)
}

// write shows the steps of an attempt, and what a new version changes.
func (a *remoteAttempt) write(stdout io.Writer) error {
	fmt.Fprintf(stdout, "\nlast attempt, of %s, version %s, %s:\n", printable(dash(short(a.SHA256))), printable(dash(a.Version)), readable(a.At))
	rows := []string{"STEP\tOUTCOME\tMS\tDETAIL"}
	for _, s := range a.Steps {
		for i, line := range strings.Split(s.Detail, "\n") {
			if i == 0 {
				rows = append(rows, fmt.Sprintf("%s\t%s\t%.1f\t%s", s.Name, s.Outcome, s.Millis, line))
			} else {
				rows = append(rows, "\t\t\t"+line)
			}
		}
	}
	if err := writeTable(stdout, rows...); err != nil || a.Changed == 0 {
		return err
	}
	fmt.Fprintf(stdout, "\n%d of %d recent decisions differ:\n", a.Changed, a.Asked)
	for _, c := range a.Changes {
		who := "anonymous"
		if c.UserID != "" {
			who = fmt.Sprintf("%s, roles %v", c.UserID, c.Roles)
		}
		fmt.Fprintln(stdout, printable(fmt.Sprintf("%s %s%s by %s", c.Method, c.Host, c.Path, who)))
		fmt.Fprintln(stdout, printable("  old: "+c.Old.String()))
		fmt.Fprintln(stdout, printable("  new: "+c.New.String()))
	}
	if more := a.Changed - len(a.Changes); more > 0 {
		fmt.Fprintf(stdout, "and %d more\n", more)
	}
	return nil
}

func (g *remoteGeneration) String() string {
	return fmt.Sprintf("generation %d, version %s, sha256 %s, loaded %s", g.Number, dash(g.Version), g.SHA256, readable(g.LoadedAt))
}

func (a remoteAnswer) String() string {
	text := a.Decision
	if a.Status != 0 {
		text += fmt.Sprintf(" %d", a.Status)
	}
	if a.Reason != "" {
		text += " " + a.Reason
	}
	if len(a.Headers) > 0 {
		text += fmt.Sprintf(" %v", a.Headers)
	}
	return text
}

// pass reads the server's answer into v; for scripts it is written as it came,
// and shown is true.
func (c *client) pass(ctx context.Context, method, path string, v any, stdout io.Writer) (shown bool, err error) {
	if !c.json {
		return false, c.call(ctx, method, path, v)
	}
	var raw json.RawMessage
	if err := c.call(ctx, method, path, &raw); err != nil {
		return false, err
	}
	return true, writeJSON(stdout, raw)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func short(sha256 string) string { return sha256[:min(len(sha256), 12)] }

// dash stands for nothing where a cell would be empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
