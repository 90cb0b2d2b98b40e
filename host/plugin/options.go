package plugin

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/tetratelabs/wazero"
)

// Defaults and bounds of [Limits], and the bound on a module's size.
const (
	DefaultMemory = 32 << 20              // bytes
	MaxMemory     = 2 << 30               // bytes
	DefaultTime   = 50 * time.Millisecond // of one call
	MaxTime       = 24 * time.Hour
	MaxInstances  = 10_000
	DefaultCalls  = 1_000_000 // of one instance
	MaxModule     = 64 << 20  // bytes

	pageSize = 64 << 10
	// A start (instantiate, _initialize, configure) may take startFactor
	// times as long as a call, and minStart at least.
	startFactor = 10
	minStart    = time.Second
	// maxWait is how long a call waits for a free instance.
	maxWait = time.Second
	// An instance whose memory is beyond so many quarters of its limit, and
	// grew in use, is replaced: it would soon fail a call.
	highQuarters = 3
)

// Limits bound what a plugin may use. A zero field means its default.
type Limits struct {
	Memory    int64         // bytes of linear memory of one instance; DefaultMemory
	Time      time.Duration // of one call, at most MaxTime; DefaultTime
	Instances int           // at once, idle ones included, at most MaxInstances; GOMAXPROCS
	Calls     int           // of one instance, which is then replaced; DefaultCalls
}

// Metrics counts what plugins do. Its methods are called by many goroutines.
type Metrics interface {
	PluginCall(plugin, hook string, d time.Duration)
	PluginError(plugin, hook string)
	// PluginBreaker is called with true when a hook is no longer asked, and
	// once with false for each such call.
	PluginBreaker(plugin, hook string, open bool)
}

// Counts takes what plugins count, and the operations on what they keep. Its
// methods are called by many goroutines.
type Counts interface {
	// PluginMetric adds to the counter of a plugin that has this name; with 0
	// the counter begins to be there.
	PluginMetric(plugin, name string, delta int64)
	// PluginState is called for each operation on state, kv or session, with
	// op get, set or add and its result: ok, absent, other, full or failed.
	PluginState(plugin, state, op, result string)
	// PluginFetch is called for each fetch, with ok for an answer, whatever its
	// status, or one of the words of host.Fetched.
	PluginFetch(plugin, result string)
}

// KV is one plugin's keys. Its methods are called by many goroutines. An error
// that is a *host.Error of kind Refused says that a key more would be too many;
// any other that it is not known what came of the call.
type KV interface {
	// Get returns the value of a key, and whether it is there.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// Set makes next the value of a key for ttl, or deletes it where next is
	// nil, if its value is old, nil for absent, or whatever it is with force.
	Set(ctx context.Context, key string, old, next []byte, force bool, ttl time.Duration) (done bool, err error)
	// Add adds to a number, made with ttl where it is absent; false if the value
	// is no number or the sum too large.
	Add(ctx context.Context, key string, delta int64, ttl time.Duration) (sum int64, ok bool, err error)
}

// Sessions is what sessions were told to remember, in every realm. An error
// that is a *host.Error of kind NotFound says that the session does not live,
// of kind Refused that its attributes would be too many or too large.
type Sessions interface {
	Attributes(ctx context.Context, realm, userID, sessionID string) (map[string]string, error)
	// ChangeAttributes has change alter them in place, as often as others alter
	// them meanwhile, and returns its error.
	ChangeAttributes(ctx context.Context, realm, userID, sessionID string, change func(map[string]string) error) error
}

// Fetcher sends requests to where a plugin may send them, and to nowhere else.
type Fetcher interface {
	Fetch(ctx context.Context, r host.Fetch) host.Fetched
}

// Engine is what runs a plugin's code.
type Engine uint8

// The engines. The zero value is Compiler. Interpreter is many times slower
// and shares little code with it: where the two disagree, one is wrong. Limits
// are kept alike by both, but for the depth of the stack: Interpreter ends a
// guest at 2,000 calls within one another.
const (
	Compiler Engine = iota
	Interpreter
)

// config returns the engine's settings before any of a plugin's own.
func (e Engine) config() wazero.RuntimeConfig {
	if e == Interpreter {
		return wazero.NewRuntimeConfigInterpreter()
	}
	return wazero.NewRuntimeConfigCompiler()
}

// Options describe one version of a plugin. Name and Module are required.
type Options struct {
	Name    string
	Module  []byte   // the WebAssembly binary; not kept
	Config  []byte   // JSON that configure is handed; may be empty
	Headers []string // identity headers that the plugin may set
	Limits  Limits
	Engine  Engine // Compiler

	// Isolated: nothing of one call is there for the next. The state that the
	// first instance had once it was configured is what each call begins
	// with; an instance of which that cannot be restored is replaced.
	Isolated bool

	// What the plugin is granted.
	KV          KV       // its own keys; nil: not granted
	Sessions    Sessions // attributes of the session in use; nil: not granted
	Credentials bool     // get shows the values of credentials
	HTTP        Fetcher  // calls out; nil: not granted

	Cache   *Cache           // nil: compiled code is kept in memory and not shared
	Logger  *slog.Logger     // nil: nothing is logged
	Lines   int              // that the guest may log in a second; 0: 100
	Metrics Metrics          // nil: nothing is counted
	Counts  Counts           // nil: what the plugin counts goes nowhere
	Now     func() time.Time // nil: time.Now
	Rand    io.Reader        // what guests draw random bytes from; nil: crypto/rand
	// Step, when set, is told by Load each step as it begins, by the names of
	// LoadError; one may come again.
	Step func(name string)

	leastStart time.Duration // 0: minStart; tests have no second for each start
	// Spent, when set, is told after each call how much fuel it took.
	Spent func(fuel int64)
}

// withDefaults returns the options with every default filled in, or why they
// cannot be used.
func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		return o, fmt.Errorf("a plugin needs a name")
	}
	if len(o.Module) > MaxModule {
		return o, fmt.Errorf("the module has %d bytes, %d are allowed", len(o.Module), MaxModule)
	}
	l := &o.Limits
	if l.Memory == 0 {
		l.Memory = DefaultMemory
	}
	if l.Memory < pageSize || l.Memory > MaxMemory {
		return o, fmt.Errorf("limits.memory of %d bytes is not between %d and %d", l.Memory, pageSize, MaxMemory)
	}
	if l.Time == 0 {
		l.Time = DefaultTime
	}
	if l.Time < 0 || l.Time > MaxTime {
		return o, fmt.Errorf("limits.time of %s is not between 0 and %s", l.Time, MaxTime)
	}
	if l.Instances < 0 || l.Instances > MaxInstances || l.Calls < 0 {
		return o, fmt.Errorf("limits.instances may not be negative or more than %d, limits.calls not negative", MaxInstances)
	}
	if l.Instances == 0 {
		l.Instances = runtime.GOMAXPROCS(0)
	}
	if l.Calls == 0 {
		l.Calls = DefaultCalls
	}
	if o.leastStart == 0 {
		o.leastStart = minStart
	}
	headers, err := declared(o.Headers)
	if err != nil {
		return o, err
	}
	o.Headers = headers
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Lines == 0 {
		o.Lines = linesInSecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	} else {
		o.Rand = &lockedReader{r: o.Rand}
	}
	return o, nil
}

// lockedReader lets the instances of a plugin share one reader.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}
