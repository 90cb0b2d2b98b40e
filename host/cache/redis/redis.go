package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/authhost/authhost/host/cache"
)

// Options says which Redis. The zero value is one node at 127.0.0.1:6379.
type Options struct {
	Addrs      []string // host:port; of the Sentinels with MasterName, of some nodes with Cluster
	Username   string   // ACL user; empty: the default user
	Password   string
	DB         int    // not with Cluster
	MasterName string // set: ask Sentinels for the master of this name
	Cluster    bool

	TLS       bool
	TLSConfig *tls.Config // nil: the system's roots, the host's name; needs TLS

	// WaitReplicas is how many replicas a change must have reached before it is
	// acknowledged.
	WaitReplicas int
	Prefix       string // of every key; empty: "authhost:"

	// CallTimeout is how long one call may wait for the server, and two thirds
	// of it for replicas; 0: 750 milliseconds.
	CallTimeout time.Duration
}

const (
	dialTimeout = time.Second
	callTimeout = 750 * time.Millisecond
	// sentinelIdle is shorter than any failover takes, so that no connection
	// outlives one unused: a master that was halted meanwhile wakes up as one,
	// and must be asked nothing. Each new connection goes where a Sentinel says.
	sentinelIdle = 500 * time.Millisecond
)

// Driver is a cache.Driver on Redis. New makes one.
type Driver struct {
	client  goredis.UniversalClient
	prefix  string
	channel string // on which changes are told
	replica int
	// reads has no client with a cluster: a node that is away would hold up
	// what is asked of the others.
	reads reads
	// wait is how long replicas have; shorter than a call, so that too few of
	// them is an answer and not a connection that is given up.
	wait time.Duration
}

// New returns a driver. It does not connect: a server that is away is told by
// each call, until it is back.
func New(o Options) (*Driver, error) {
	if o.CallTimeout <= 0 {
		o.CallTimeout = callTimeout
	}
	u := universal(o)
	d := &Driver{prefix: either(o.Prefix, "authhost:"), replica: o.WaitReplicas, wait: o.CallTimeout * 2 / 3}
	d.channel = d.prefix + "changed"
	switch {
	case o.Cluster && o.MasterName != "":
		return nil, errors.New("cache redis: either cluster or master_name, not both")
	case o.Cluster && o.DB != 0:
		return nil, errors.New("cache redis: a cluster has no database but 0")
	case o.WaitReplicas < 0:
		return nil, errors.New("cache redis: wait_replicas is negative")
	case o.TLSConfig != nil && !o.TLS:
		return nil, errors.New("cache redis: a TLS configuration, but TLS is off")
	case o.Cluster:
		c := u.Cluster()
		c.DisableRoutingPolicies = true // every command has one slot's key, or a node; COMMAND need not be asked
		d.client = goredis.NewClusterClient(c)
	case o.MasterName != "":
		d.client = goredis.NewFailoverClient(u.Failover())
	case len(o.Addrs) > 1:
		return nil, errors.New("cache redis: several addresses need cluster or master_name")
	default:
		d.client = goredis.NewClient(u.Simple())
	}
	if !o.Cluster {
		d.reads.client = d.client
	}
	return d, nil
}

func either(given, otherwise string) string {
	if given == "" {
		return otherwise
	}
	return given
}

func universal(o Options) *goredis.UniversalOptions {
	u := &goredis.UniversalOptions{
		Addrs: slices.Clone(o.Addrs), Username: o.Username, Password: o.Password, DB: o.DB, MasterName: o.MasterName,
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		DialTimeout:              max(dialTimeout, o.CallTimeout), DialerRetries: 1,
		ReadTimeout: o.CallTimeout, WriteTimeout: o.CallTimeout, PoolTimeout: o.CallTimeout, ContextTimeoutEnabled: true,
		// One pool for all: with a second one for pipelines each learns for
		// itself, up to a second apart, that the server is back.
		PipelinePoolSize: -1,
		// One more try for reads, whose connection the server may have closed.
		MaxRetries: 1, MinRetryBackoff: 5 * time.Millisecond, MaxRetryBackoff: 50 * time.Millisecond,
	}
	if o.MasterName != "" {
		u.ConnMaxIdleTime = sentinelIdle
	}
	if o.TLS {
		u.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.TLSConfig != nil {
			u.TLSConfig = o.TLSConfig.Clone()
		}
	}
	return u
}

// key puts a slot under a hash tag of its own. The first "}" ends the tag, so
// two slots may share a node but never a key.
func (d *Driver) key(slot string) string { return d.prefix + "{" + slot + "}" }

// slot is the slot that a key is of.
func (d *Driver) slot(key string) (string, bool) {
	slot, begins := strings.CutPrefix(key, d.prefix+"{")
	slot, ends := strings.CutSuffix(slot, "}")
	return slot, begins && ends && slot != ""
}

// Get implements cache.Driver.
func (d *Driver) Get(ctx context.Context, slot string, fields ...string) ([][]byte, error) {
	values := make([][]byte, len(fields))
	if len(fields) == 0 {
		return values, ctx.Err()
	}
	got, err := d.hmget(ctx, d.key(slot), fields)
	if err != nil {
		return nil, fmt.Errorf("cache redis: HMGET: %w", err)
	}
	if len(got) != len(fields) {
		return nil, fmt.Errorf("cache redis: HMGET of %d fields answered %d", len(fields), len(got))
	}
	for i, v := range got {
		switch v := v.(type) {
		case nil:
		case string:
			values[i] = []byte(v)
		default:
			return nil, fmt.Errorf("cache redis: HMGET answered a %T", v)
		}
	}
	return values, nil
}

func (d *Driver) hmget(ctx context.Context, key string, fields []string) ([]any, error) {
	if d.reads.client == nil {
		return d.client.HMGet(ctx, key, fields...).Result()
	}
	args := make([]any, 0, 2+len(fields))
	args = append(args, "hmget", key)
	for _, f := range fields {
		args = append(args, f)
	}
	return d.reads.ask(ctx, args...)
}

// All implements cache.Driver.
func (d *Driver) All(ctx context.Context, slot string) (map[string][]byte, error) {
	got, err := d.client.HGetAll(ctx, d.key(slot)).Result()
	if err != nil {
		return nil, fmt.Errorf("cache redis: HGETALL: %w", err)
	}
	all := make(map[string][]byte, len(got))
	for name, value := range got {
		all[name] = []byte(value)
	}
	return all, nil
}

// Ping implements cache.Driver: every master answers.
func (d *Driver) Ping(ctx context.Context) error {
	return d.eachMaster(ctx, func(ctx context.Context, c *goredis.Client) error {
		if err := c.Ping(ctx).Err(); err != nil {
			return fmt.Errorf("cache redis: PING: %w", err)
		}
		return nil
	})
}

// Evicting says whether a master may drop keys that have not expired: whether
// its maxmemory-policy is another than noeviction.
func (d *Driver) Evicting(ctx context.Context) (bool, error) {
	evicting := make(chan bool, 1)
	err := d.eachMaster(ctx, func(ctx context.Context, c *goredis.Client) error {
		info, err := c.Info(ctx, "memory").Result()
		if err != nil {
			return fmt.Errorf("cache redis: INFO: %w", err)
		}
		switch infoLine(info, "maxmemory_policy") {
		case "":
			return errors.New("cache redis: INFO does not tell the maxmemory policy")
		case "noeviction":
		default:
			select {
			case evicting <- true:
			default:
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	return len(evicting) > 0, nil
}

func (d *Driver) eachMaster(ctx context.Context, ask func(context.Context, *goredis.Client) error) error {
	switch c := d.client.(type) {
	case *goredis.ClusterClient:
		return c.ForEachMaster(ctx, ask)
	case *goredis.Client:
		return ask(ctx, c)
	}
	return fmt.Errorf("cache redis: client %T", d.client)
}

// Close implements cache.Driver.
func (d *Driver) Close() error { return d.client.Close() }

// LogTo sends what the client library says of its connections to logger
// instead of standard error. It holds for the whole process and every driver:
// call it once, before New.
func LogTo(logger *slog.Logger) { goredis.SetLogger(libraryLog{logger}) }

type libraryLog struct{ logger *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.logger.Enabled(ctx, slog.LevelWarn) {
		l.logger.LogAttrs(ctx, slog.LevelWarn, "redis client", slog.String("detail", fmt.Sprintf(format, args...)))
	}
}

var _ cache.Driver = (*Driver)(nil)
