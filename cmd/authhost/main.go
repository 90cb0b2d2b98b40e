// Command authhost runs the host and its tools: dev, serve, check, explain,
// plugin, cache, users, sessions, plugins and version. It owns flags, signals and exit codes;
// what the commands do is done by package daemon.
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

var usage = strings.ReplaceAll(`usage:
  authhost dev [DIR]                   try it: plugins below DIR (default "plugins") built from source, a demo platform, curl lines
  authhost serve --config FILE         run it
  authhost check --config FILE         validate the configuration and load every plugin
  authhost explain --config FILE [--method M] [--header 'K: V']... URL
                                       print each step of the decision for one request
  authhost plugin new NAME [--lang LANGUAGE] [--dir DIR]
                                       make a plugin's source, SDK and cases in DIR/NAME; LANGUAGES
  authhost plugin build [DIR]          make the module of the source in DIR
  authhost plugin test [DIR|MODULE] [--coverage] [--junit FILE]
                                       ask the module its cases, on both engines; exits 1 if one fails
  authhost plugin inspect MODULE       what it wants, what it weighs, what its cases take
  authhost plugin bench [DIR|MODULE]   nanoseconds, allocations and fuel by case
                                       these three: [--config JSON-FILE]; inspect, bench: [--output table|json]
  authhost plugin sign MODULE --key FILE [--password-file FILE] [--version 1.2.3]
                                       sign it as minisign does, in MODULE.minisig
  authhost plugin sign --new-key FILE [--password-file FILE]
                                       make a key pair, FILE and FILE.pub
  authhost cache check --config FILE   verify every record of the cache
  authhost cache stats --config FILE   count what the cache holds
  authhost cache copy --from FILE --to FILE
                                       copy users and sessions from one configuration's cache to another's
                                       all three: [--output table|json]
  authhost users show|logout ID        who a user is; log a user out everywhere
  authhost sessions list USER_ID       a user's live sessions
  authhost plugins list                the plugins, and which version of each serves
  authhost plugins show|reload|rollback NAME
                                       how one stands; take up its files now; go back to the version before
                                       all of these: --token-file FILE [--server URL] [--realm R] [--output table|json]
  authhost version                     version of authhost, of the plugin ABI and of Go
`, "LANGUAGES", strings.Join(source.Names(), ", "))

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
	case args[0] == "help" || args[0] == "-h" || args[0] == "--help":
		fmt.Fprint(stdout, usage)
		return exitDone
	case !ok:
		fmt.Fprintf(stderr, "authhost: no command %q\n%s", args[0], usage)
		return exitUsage
	}
	err := command(ctx, args[1:], stdout, stderr)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
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
}

func newFlags(name string, stderr io.Writer) flags {
	f := flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, usage) }
	return f
}

func (f *flags) withConfig() {
	f.config = f.String("config", "", "configuration file")
}

// parse reads the arguments and wants between min and max words after them.
func (f flags) parse(args []string, min, max int) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if n := f.NArg(); n < min || n > max {
		fmt.Fprintf(f.Output(), "authhost %s: %d arguments\n%s", f.Name(), n, usage)
		return errUsage
	}
	if f.config != nil && *f.config == "" {
		fmt.Fprintf(f.Output(), "authhost %s: --config FILE is required\n", f.Name())
		return errUsage
	}
	return nil
}

// words reads the arguments, flags and words in any order, and returns the
// words.
func (f flags) words(args []string) (words []string, err error) {
	for rest := args; ; {
		if err := f.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, errUsage
		}
		if f.NArg() == 0 {
			return words, nil
		}
		words, rest = append(words, f.Arg(0)), f.Args()[1:]
	}
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
	if err := f.parse(args, 0, 0); err != nil {
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
	if err := f.parse(args, 0, 0); err != nil {
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
	if err := f.parse(args, 1, 1); err != nil {
		return err
	}
	header, err := headers.header()
	if err != nil {
		fmt.Fprintf(stderr, "authhost explain: %v\n", err)
		return errUsage
	}
	o := options(*f.config, stderr)
	o.Log = nil
	return daemon.Explain(ctx, o, daemon.Question{Method: *method, Header: header, URL: f.Arg(0)}, stdout)
}

func runVersion(_ context.Context, args []string, stdout, stderr io.Writer) error {
	f := newFlags("version", stderr)
	if err := f.parse(args, 0, 0); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "authhost %s\nplugin ABI %d\n%s %s/%s\n", version, daemon.ABIVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

func runDev(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newFlags("dev", stderr)
	if err := f.parse(args, 0, 1); err != nil {
		return err
	}
	dir := "plugins"
	if f.NArg() == 1 {
		dir = f.Arg(0)
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
