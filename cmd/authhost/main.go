// Command authhost runs the host and its tools: dev, serve, check, explain,
// plugin, cache, users, sessions, plugins and version. It owns flags, signals and
// exit codes; what the commands do is done by the packages that it wires.
//
// Exit codes: 0 done, 1 refused, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/authhost/authhost/cmd/authhost/internal/dev"
	"github.com/authhost/authhost/cmd/authhost/internal/source"
	"github.com/authhost/authhost/host/daemon"
)

// version is set by the linker.
var version = "devel"

var usage = strings.NewReplacer(
	"LANGUAGES", strings.Join(source.Names(), ", "),
	"ADMIN", "--token-file FILE [--server http://127.0.0.1:8081] [--output table|json]",
).Replace(`usage:
  authhost dev [DIR]                   try it: plugins below DIR (default "plugins") built from source, a demo platform, curl lines
  authhost serve --config FILE         run it
  authhost check --config FILE         validate the configuration and load every plugin
  authhost explain --config FILE [--method M] [--header 'K: V']... URL
                                       print each step of the decision for one request
  authhost plugin new NAME [--lang LANGUAGE] [--dir DIR]
                                       make a plugin's source, SDK and cases in DIR/NAME; LANGUAGES
  authhost plugin build [DIR]          make the module of the source in DIR
  authhost plugin test [DIR|MODULE] [--config JSON-FILE] [--coverage] [--junit FILE]
                                       ask the module its cases, on both engines; exits 1 if one fails
  authhost plugin inspect MODULE [--config JSON-FILE] [--output table|json]
                                       what it wants, what it weighs, what its cases take
  authhost plugin bench [DIR|MODULE] [--config JSON-FILE] [--output table|json]
                                       nanoseconds, allocations and fuel by case
  authhost plugin sign MODULE --key FILE [--password-file FILE] [--version 1.2.3]
                                       sign it as minisign does, in MODULE.minisig
  authhost plugin sign --new-key FILE [--password-file FILE]
                                       make a key pair, FILE and FILE.pub
  authhost cache check --config FILE [--output table|json]
                                       verify every record of the cache
  authhost cache stats --config FILE [--output table|json]
                                       count what the cache holds
  authhost cache copy --from FILE --to FILE [--output table|json]
                                       copy users and sessions from one configuration's cache to another's
  authhost users show|logout ID ADMIN [--realm R]
                                       who a user is; log a user out everywhere; --realm with an operator's token
  authhost sessions list USER_ID ADMIN [--realm R]
                                       a user's live sessions; --realm with an operator's token
  authhost plugins list ADMIN
                                       the plugins, and which version of each serves
  authhost plugins show|reload|rollback NAME ADMIN
                                       how one stands; take up its files now; go back to the version before
  authhost version                     version of authhost, of the plugin ABI and of Go
`)

// usageOf is what usage says of one command, with all that begin like it.
func usageOf(command string) string {
	said, of := "usage:\n", false
	for line := range strings.Lines(usage) {
		if form, begins := strings.CutPrefix(line, "  authhost "); begins {
			of = strings.HasPrefix(form, command+" ")
		}
		if of {
			said += line
		}
	}
	return said
}

const (
	exitDone    = 0
	exitRefused = 1
	exitUsage   = 2
)

// ballast is address space that is never touched, and so takes no memory, in
// bytes. The collector counts it as live: garbage is collected when at least as
// much has come together, and not forty times a second because what lives is a
// few megabytes.
const ballast = 64 << 20

// errUsage is wrong usage that has been explained already.
var errUsage = errors.New("usage")

// helpError is no error: somebody asked for the usage of a command.
type helpError struct{ command string }

func (h helpError) Error() string { return "help of " + h.command }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"dev": runDev, "serve": runServe, "check": runCheck, "explain": runExplain, "version": runVersion,
		"plugin": runPlugin, "users": runUsers, "sessions": runSessions, "plugins": runPlugins, "cache": runCache,
	}
	command, ok := commands[args[0]]
	switch {
	case args[0] == "help" && len(args) > 1 && commands[args[1]] != nil:
		fmt.Fprint(stdout, usageOf(args[1]))
		return exitDone
	case args[0] == "help" || args[0] == "-h" || args[0] == "--help":
		fmt.Fprint(stdout, usage)
		return exitDone
	case args[0] == "--version":
		command = runVersion
	case !ok:
		fmt.Fprintf(stderr, "authhost: no command %q\n%s", args[0], usage)
		return exitUsage
	}
	err := command(ctx, args[1:], stdout, stderr)
	if help, ok := errors.AsType[helpError](err); ok {
		fmt.Fprint(stdout, usageOf(help.command))
		return exitDone
	}
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage):
		return exitUsage
	}
	fmt.Fprintf(stderr, "authhost: %v\n", err)
	return exitRefused
}

// flags is one command's flags. config is set where --config is required.
type flags struct {
	*flag.FlagSet
	config *string
	stderr io.Writer
}

func newFlags(name string, stderr io.Writer) flags {
	f := flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), stderr: stderr}
	f.SetOutput(io.Discard) // words explains
	f.Usage = func() {}
	return f
}

func (f *flags) withConfig() {
	f.config = f.String("config", "", "configuration file")
}

// wrong explains wrong usage.
func (f flags) wrong(format string, args ...any) error {
	fmt.Fprintf(f.stderr, "authhost %s: %s\n%s", f.Name(), fmt.Sprintf(format, args...), usageOf(f.Name()))
	return errUsage
}

// words reads the arguments, flags and words in any order, and returns the
// words.
func (f flags) words(args []string) (words []string, err error) {
	for rest := args; ; {
		switch err := f.Parse(rest); {
		case errors.Is(err, flag.ErrHelp):
			return nil, helpError{f.Name()}
		case err != nil:
			return nil, f.wrong("%v", err)
		case f.NArg() == 0:
			return words, nil
		}
		words, rest = append(words, f.Arg(0)), f.Args()[1:]
	}
}

// wants reads the arguments and wants between min and max words. They are not
// shown when there are others: one may be a token that lacked its quotes.
func (f flags) wants(args []string, min, max int) ([]string, error) {
	words, err := f.words(args)
	switch n := len(words); {
	case err != nil:
		return nil, err
	case (n < min || n > max) && min == max:
		return nil, f.wrong("%d arguments, want %d", n, min)
	case n < min || n > max:
		return nil, f.wrong("%d arguments, want %d or %d", n, min, max)
	case f.config != nil && *f.config == "":
		return nil, f.wrong("--config FILE is required")
	}
	return words, nil
}

func options(config string, stderr io.Writer) daemon.Options {
	return daemon.Options{
		ConfigFile: config,
		Environ:    os.Environ(),
		Version:    version,
		Log:        stderr,
	}
}

// reloadOnHangup tells d of every SIGHUP until ctx ends.
func reloadOnHangup(ctx context.Context, d *daemon.Daemon, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			// The daemon has logged and counted what came of it.
			_ = d.Reload(ctx)
		}
	}
}

func runServe(ctx context.Context, args []string, _, stderr io.Writer) error {
	f := newFlags("serve", stderr)
	f.withConfig()
	if _, err := f.wants(args, 0, 0); err != nil {
		return err
	}
	weight := make([]byte, ballast)
	defer runtime.KeepAlive(weight)
	return serve(ctx, options(*f.config, stderr))
}

func serve(ctx context.Context, o daemon.Options) error {
	// From the start: until plugins are loaded a SIGHUP would end the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	d, err := daemon.Open(ctx, o)
	if err != nil {
		return err
	}
	go reloadOnHangup(ctx, d, hangups)
	return d.Run(ctx)
}

func runCheck(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newFlags("check", stderr)
	f.withConfig()
	if _, err := f.wants(args, 0, 0); err != nil {
		return err
	}
	o := options(*f.config, stderr)
	o.Log = nil
	summary, err := daemon.Check(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: ok\n%s", *f.config, summary)
	return nil
}

// headerFlag collects --header 'K: V'. It takes anything: the error of package
// flag would show the value, which may be a token.
type headerFlag []string

func (h *headerFlag) String() string { return fmt.Sprintf("%d headers", len(*h)) }

func (h *headerFlag) Set(s string) error {
	*h = append(*h, s)
	return nil
}

// header returns what was collected, or which --header is none.
func (h headerFlag) header() (http.Header, error) {
	header := http.Header{}
	for i, line := range h {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("--header number %d is not 'Name: value'", i+1)
		}
		header.Add(name, strings.TrimSpace(value))
	}
	return header, nil
}

func runExplain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newFlags("explain", stderr)
	f.withConfig()
	method := f.String("method", "GET", "the request's method")
	var headers headerFlag
	f.Var(&headers, "header", "a header of the request, repeatable")
	words, err := f.wants(args, 1, 1)
	if err != nil {
		return err
	}
	header, err := headers.header()
	if err != nil {
		return f.wrong("%v", err)
	}
	o := options(*f.config, stderr)
	o.Log = nil
	return daemon.Explain(ctx, o, daemon.Question{Method: *method, Header: header, URL: words[0]}, stdout)
}

func runVersion(_ context.Context, args []string, stdout, stderr io.Writer) error {
	f := newFlags("version", stderr)
	if _, err := f.wants(args, 0, 0); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "authhost %s\nplugin ABI %d\n%s %s/%s\n", version, daemon.ABIVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

func runDev(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newFlags("dev", stderr)
	words, err := f.wants(args, 0, 1)
	if err != nil {
		return err
	}
	dir := "plugins"
	if len(words) == 1 {
		dir = words[0]
	}
	env, err := dev.Prepare(ctx, dir, stderr)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil // interrupted, not refused
	case err != nil:
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { env.Run(ctx) })
	o := options(env.ConfigFile, stderr)
	o.Listen = dev.Listen
	o.Listening = func(addr map[string]string) {
		all.Go(func() { env.Welcome(ctx, stdout, addr) })
	}
	err = serve(ctx, o)
	stop()
	all.Wait()
	return errors.Join(err, env.Close())
}
