package config

import (
	"net/netip"
	"time"

	"github.com/authhost/authhost/host"
)

// Config is a whole configuration, checked and with its defaults filled in.
// Relative paths have become paths below the file's own folder. Nobody changes
// it once [Load] has returned it.
type Config struct {
	Listen               Listen                `koanf:"listen"`
	Upstream             string                `koanf:"upstream"` // http(s) URL without path; empty if there is none
	TrustedProxies       []netip.Prefix        `koanf:"trusted_proxies"`
	Operator             *Operator             `koanf:"operator"` // nil: no operator
	IntrospectionClients []IntrospectionClient `koanf:"introspection_clients"`
	Cache                Cache                 `koanf:"cache"`
	Realms               []Realm               `koanf:"realms"`
	Plugins              []Plugin              `koanf:"plugins"`
	Routes               []Route               `koanf:"routes"`

	places *places
}

// Listen holds the listeners' addresses, host:port. GRPC and Proxy may be
// empty: no such listener.
type Listen struct {
	Public    string `koanf:"public"`
	Admin     string `koanf:"admin"`
	Telemetry string `koanf:"telemetry"`
	GRPC      string `koanf:"grpc"`
	Proxy     string `koanf:"proxy"`
}

// Operator names the file of operator tokens.
type Operator struct {
	TokenFile string `koanf:"token_file"`
}

// IntrospectionClient is one client of the introspection endpoint.
type IntrospectionClient struct {
	ID         string `koanf:"id"`
	SecretFile string `koanf:"secret_file"`
	Realm      string `koanf:"realm"`
}

// The cache drivers.
const (
	DriverFile   = "file"
	DriverMemory = "memory"
	DriverRedis  = "redis"
	DriverEtcd   = "etcd"
)

// Cache says where sessions and revocations are kept.
type Cache struct {
	Driver string     `koanf:"driver"`
	File   FileCache  `koanf:"file"`
	Redis  RedisCache `koanf:"redis"`
	Etcd   EtcdCache  `koanf:"etcd"`
	Near   NearCache  `koanf:"near"`
}

// FileCache is the embedded driver's folder.
type FileCache struct {
	Dir string `koanf:"dir"`
}

// RedisCache says how Redis is reached: one node, or Sentinel when MasterName
// is set, or Cluster.
type RedisCache struct {
	Addrs        []string `koanf:"addrs"` // host:port
	Username     string   `koanf:"username"`
	PasswordFile string   `koanf:"password_file"`
	DB           int      `koanf:"db"`
	TLS          bool     `koanf:"tls"`
	MasterName   string   `koanf:"master_name"`
	Cluster      bool     `koanf:"cluster"`
	WaitReplicas int      `koanf:"wait_replicas"` // replicas that must acknowledge a logout
}

// EtcdCache says how etcd is reached.
type EtcdCache struct {
	Endpoints    []string `koanf:"endpoints"` // host:port
	Username     string   `koanf:"username"`
	PasswordFile string   `koanf:"password_file"`
	TLS          bool     `koanf:"tls"`
}

// NearCache bounds what this process remembers of the shared cache.
type NearCache struct {
	MaxStaleness time.Duration `koanf:"max_staleness"` // 0: read through every time
	Entries      int           `koanf:"entries"`
}

// Realm is one tenant.
type Realm struct {
	Name        string       `koanf:"name"`
	Hosts       []string     `koanf:"hosts"` // lower case: exact, "*.suffix" or "*"
	Issuers     []Issuer     `koanf:"issuers"`
	Credentials []Credential `koanf:"credentials"` // in order; holds the session cookie too
	Session     Session      `koanf:"session"`
	Roles       Roles        `koanf:"roles"`
	Plugins     []string     `koanf:"plugins"`
}

// What an issuer's revocation may be.
const (
	RevocationRequired     = "required"
	RevocationInsecureSkip = "insecure_skip"
)

// Issuer is one source of JWTs. Exactly one of JWKSURL, JWKSFile and
// SecretFile is set.
type Issuer struct {
	Issuer       string        `koanf:"issuer"`
	Audiences    []string      `koanf:"audiences"`
	Algorithms   []string      `koanf:"algorithms"` // JWS names, such as RS256
	JWKSURL      string        `koanf:"jwks_url"`
	JWKSFile     string        `koanf:"jwks_file"`
	SecretFile   string        `koanf:"secret_file"`
	JWKSMaxAge   time.Duration `koanf:"jwks_max_age"`
	MaxTokenLife time.Duration `koanf:"max_token_life"`
	RolesClaim   string        `koanf:"roles_claim"` // a name, or a JSON Pointer (RFC 6901) when it begins with "/"
	Leeway       time.Duration `koanf:"leeway"`
	Revocation   string        `koanf:"revocation"`
}

// Credential is one place in a request where a credential is looked for.
// Exactly one of Header, Cookie and Query is set.
type Credential struct {
	Header string         `koanf:"header"` // canonical
	Cookie string         `koanf:"cookie"`
	Query  string         `koanf:"query"`
	Paths  []host.Pattern `koanf:"paths"` // where Query counts
}

// Session is how long a realm's sessions live and in which cookie they travel.
type Session struct {
	Idle         time.Duration `koanf:"idle"`
	Absolute     time.Duration `koanf:"absolute"`
	OutliveToken bool          `koanf:"outlive_token"` // may outlive the JWT it was made from
	MaxSessions  int           `koanf:"max_sessions"`  // of one user at once
	WhenFull     string        `koanf:"when_full"`
	Cookie       Cookie        `koanf:"cookie"`
}

// What happens to a login when its user has max_sessions already.
const (
	WhenFullEndOldest = "end_oldest"
	WhenFullRefuse    = "refuse"
)

// What a cookie's same_site may be.
const (
	SameSiteStrict = "strict"
	SameSiteLax    = "lax"
	SameSiteNone   = "none"
)

// Cookie is the session cookie's name and attributes.
type Cookie struct {
	Name         string `koanf:"name"`
	SameSite     string `koanf:"same_site"`
	InsecureHTTP bool   `koanf:"insecure_http"` // without Secure
}

// Roles names the roles that mean something to authhost itself.
type Roles struct {
	Admin string `koanf:"admin"`
}

// Plugin is one WebAssembly module and what it may do.
type Plugin struct {
	Name           string       `koanf:"name"`
	Module         string       `koanf:"module"`
	SHA256         string       `koanf:"sha256"` // lower-case hex, or empty
	Config         JSON         `koanf:"config"`
	Headers        []string     `koanf:"headers"` // canonical
	Capabilities   Capabilities `koanf:"capabilities"`
	Isolation      string       `koanf:"isolation"`
	MaxChanged     int          `koanf:"max_changed"`
	PublicKeys     []string     `koanf:"public_keys"`
	AllowDowngrade bool         `koanf:"allow_downgrade"`
	Limits         Limits       `koanf:"limits"`
}

// What Plugin.Isolation may be.
const (
	IsolationNone    = "none"
	IsolationRequest = "request"
)

// Limits bounds one plugin.
type Limits struct {
	Memory    Size          `koanf:"memory"`    // of one instance
	Time      time.Duration `koanf:"time"`      // of one call
	Instances int           `koanf:"instances"` // idle ones included
}

// Size is a number of bytes.
type Size uint64

// JSON is a canonical JSON text: keys sorted, no blanks.
type JSON []byte

// What a route's default may be.
const (
	DefaultAllow = "allow"
	DefaultDeny  = "deny"
)

// Route binds requests to a mode and to plugins. Empty Realm, Hosts and
// Methods match any.
type Route struct {
	Path         host.Pattern        `koanf:"path"`
	Realm        string              `koanf:"realm"`
	Hosts        []string            `koanf:"hosts"` // lower case: exact, "*.suffix" or "*"
	Methods      []string            `koanf:"methods"`
	Authenticate host.Authentication `koanf:"authenticate"`
	Plugins      []string            `koanf:"plugins"`
	Default      string              `koanf:"default"` // when every plugin abstains
}

// Problem places an error that came of applying a key's value, such as a
// listener's address that is taken, where that key was set: the result is a
// [*Problem] that wraps err, nil if err is nil.
func (c *Config) Problem(key string, err error) error {
	if err == nil {
		return nil
	}
	p := c.places.problem(key, "%s", err)
	p.cause = err
	return p
}

// Files returns the files whose change calls for a reload: the configuration
// itself first, then the operators' tokens and the secrets of introspection
// clients. Plugin modules, key sets and the issuers' secrets are watched by
// their rooms.
func (c *Config) Files() []string {
	files := []string{c.places.file}
	if c.Operator != nil {
		files = append(files, c.Operator.TokenFile)
	}
	for _, client := range c.IntrospectionClients {
		files = append(files, client.SecretFile)
	}
	return files
}
