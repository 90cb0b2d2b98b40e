package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/authhost/authhost/host/daemon"
)

// cacheFlags are those of cache check, stats and copy.
type cacheFlags struct {
	flags
	config, from, to, output *string
}

// runCache is cache check, cache stats and cache copy.
func runCache(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := cacheFlags{flags: newFlags("cache", stderr)}
	f.config = f.String("config", "", "configuration file")
	f.from = f.String("from", "", "configuration whose cache is copied")
	f.to = f.String("to", "", "configuration to whose cache it is copied")
	f.output = f.String("output", "table", "table or json")
	words, err := f.words(args)
	if err != nil {
		return err
	}
	if problem := f.problem(words); problem != "" {
		return f.wrong("%s", problem)
	}
	p := problems{w: stdout, json: *f.output == "json"}
	switch words[0] {
	case "check":
		return checkCache(ctx, quietly(*f.config), &p)
	case "stats":
		return cacheStats(ctx, quietly(*f.config), &p)
	}
	return copyCache(ctx, quietly(*f.from), quietly(*f.to), &p)
}

// problem says what is wrong with the words and flags, if anything.
func (f cacheFlags) problem(words []string) string {
	if len(words) != 1 {
		return "want one of check, stats, copy"
	}
	copying := words[0] == "copy"
	switch {
	case words[0] != "check" && words[0] != "stats" && !copying:
		return fmt.Sprintf("no command %q", words[0])
	case copying && (*f.from == "" || *f.to == "" || *f.config != ""):
		return "copy wants --from FILE and --to FILE"
	case !copying && (*f.config == "" || *f.from != "" || *f.to != ""):
		return words[0] + " wants --config FILE"
	case *f.output != "table" && *f.output != "json":
		return "--output is table or json"
	}
	return ""
}

func quietly(config string) daemon.Options {
	return daemon.Options{ConfigFile: config, Environ: os.Environ(), Version: version}
}

// problems writes what is wrong, a line each, as it is found.
type problems struct {
	w    io.Writer
	json bool
	n    int
	err  error // of w
}

func (p *problems) add(key string, err error) {
	p.n++
	for line := range strings.Lines(err.Error()) {
		line = printable(strings.TrimSuffix(line, "\n"))
		var failed error
		switch {
		case p.json:
			failed = writeJSON(p.w, struct {
				Key     string `json:"key,omitempty"`
				Problem string `json:"problem"`
			}{key, line})
		case key == "":
			_, failed = fmt.Fprintln(p.w, line)
		default:
			_, failed = fmt.Fprintf(p.w, "%s: %s\n", printable(key), line)
		}
		p.err = errors.Join(p.err, failed)
	}
}

// outcome is that of a command that has told all that it found.
func (p *problems) outcome(what string) error {
	if p.n > 0 {
		return errors.Join(p.err, fmt.Errorf("%d %s", p.n, what))
	}
	return p.err
}

func checkCache(ctx context.Context, o daemon.Options, p *problems) error {
	t, err := daemon.SurveyCache(ctx, o, p.add)
	if err != nil {
		return err
	}
	if p.json {
		err = writeJSON(p.w, t)
	} else {
		_, err = fmt.Fprintf(p.w, "%d users, %d sessions that count, %d to be swept, %d revoked tokens, %d keys of plugins: %d problems\n",
			t.Users, t.Sessions, t.Ended, t.Revocations, t.PluginKeys, t.Problems)
	}
	return errors.Join(err, p.outcome("problems found"))
}

func cacheStats(ctx context.Context, o daemon.Options, p *problems) error {
	unread := 0
	t, err := daemon.SurveyCache(ctx, o, func(string, error) { unread++ })
	if err != nil {
		return err
	}
	stats := struct {
		daemon.Tally
		PerSession int64 `json:"bytes_per_session"`
	}{Tally: t}
	if n := t.Sessions + t.Ended; n > 0 {
		stats.PerSession = t.Bytes / int64(n)
	}
	if p.json {
		err = writeJSON(p.w, stats)
	} else {
		rows := []string{"KIND\tNUMBER"}
		for _, row := range []struct {
			kind   string
			number int64
		}{
			{"users", int64(t.Users)}, {"deactivated users", int64(t.Deactivated)}, {"users copied from another cache", int64(t.Copied)},
			{"sessions", int64(t.Sessions)}, {"ended sessions, to be swept", int64(t.Ended)},
			{"sessions with attributes", int64(t.Attributes)}, {"bytes of attributes", int64(t.AttributeBytes)},
			{"revoked tokens", int64(t.Revocations)}, {"ends of access to be told", int64(t.Events)}, {"messages to be delivered", int64(t.Messages)},
			{"records of a later version", int64(t.Others)},
			{"entries of due-lists", int64(t.Due)}, {"overdue entries", int64(t.Overdue)},
			{"keys of plugins", int64(t.PluginKeys)}, {"keys of plugins that have ended", int64(t.PluginEnded)}, {"bytes of plugins", t.PluginBytes},
			{"bytes", t.Bytes}, {"bytes per session", stats.PerSession}, {"problems", int64(t.Problems)},
		} {
			rows = append(rows, row.kind+"\t"+strconv.FormatInt(row.number, 10))
		}
		err = writeTable(p.w, rows...)
	}
	if unread > 0 {
		err = errors.Join(err, fmt.Errorf("%d problems: see authhost cache check", unread))
	}
	return err
}

func copyCache(ctx context.Context, from, to daemon.Options, p *problems) error {
	c, err := daemon.CopyCache(ctx, from, to, p.add)
	if err != nil {
		return errors.Join(err, errors.New("the copy is not complete; it may be repeated"))
	}
	if p.json {
		err = writeJSON(p.w, c)
	} else {
		_, err = fmt.Fprintf(p.w, "%d users with %d sessions: %d copied, %d copied anew, %d removed, %d left as they were, %d refused; %d slots of plugins are left out\n",
			c.Users, c.Sessions, c.New, c.Renewed, c.Removed, c.Same, c.Refused, c.Others)
	}
	return errors.Join(err, p.outcome("refused"))
}
