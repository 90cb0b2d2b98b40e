package redis

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"
	goredis "github.com/redis/go-redis/v9"
)

// page is where a list goes on. SCAN promises to find what is there throughout
// only within one run of one server, and a cluster only while no slot moves.
type page struct {
	_      struct{} `cbor:",toarray"`
	Node   string   // the master that is being scanned
	Run    string   // of which process; empty before its first page
	Map    string   // a hash of which master has which slots
	Cursor uint64
	Left   [][]byte // scanned, but more than the page before could hold
}

// listMost bounds how many keys one SCAN is asked for.
const listMost = 1000

var errRearranged = errors.New("cache redis: the servers were rearranged during the list: begin anew")

// List implements cache.Driver, by SCAN on one master after the other. Nothing
// else in the driver looks at keys that it was not asked for.
func (d *Driver) List(ctx context.Context, next string, most int) (slots []string, following string, err error) {
	most = min(max(1, most), listMost)
	masters, err := d.masters(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("cache redis: list: %w", err)
	}
	p := page{Node: masters[0].Options().Addr}
	if next != "" {
		if p, err = parsePage(next); err != nil {
			return nil, "", err
		}
	}
	i := slices.IndexFunc(masters, func(c *goredis.Client) bool { return c.Options().Addr == p.Node })
	if i < 0 {
		return nil, "", errRearranged
	}
	if len(p.Left) == 0 {
		if err := d.scan(ctx, masters[i], len(masters), most, &p); err != nil {
			return nil, "", err
		}
	}
	n := min(most, len(p.Left))
	for _, slot := range p.Left[:n] {
		slots = append(slots, string(slot))
	}
	p.Left = p.Left[n:]
	if len(p.Left) == 0 && p.Cursor == 0 { // the end of this master
		if i++; i == len(masters) {
			return slots, "", nil
		}
		p.Node, p.Run = masters[i].Options().Addr, ""
	}
	following, err = p.text()
	return slots, following, err
}

// scan takes one step, and makes sure that it was taken on the server, and in
// the cluster, in which the list began.
func (d *Driver) scan(ctx context.Context, node *goredis.Client, masters, most int, p *page) error {
	_, clustered := d.client.(*goredis.ClusterClient)
	pipe := node.Pipeline()
	scan := pipe.Scan(ctx, p.Cursor, escape.Replace(d.prefix)+"{*}", int64(most))
	info := pipe.Do(ctx, "info", "server", "replication")
	var nodes *goredis.StringCmd
	if clustered { // after the scan: what moved away before it shows
		nodes = pipe.ClusterNodes(ctx)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("cache redis: SCAN: %w", err)
	}
	text, err := info.Text()
	if err != nil {
		return fmt.Errorf("cache redis: INFO: %w", err)
	}
	run := infoLine(text, "run_id")
	if run == "" || infoLine(text, "role") != "master" || p.Run != "" && p.Run != run {
		return errRearranged
	}
	p.Run = run
	if clustered {
		table, n, ok := clusterMap(nodes.Val())
		if !ok || n != masters || p.Map != "" && p.Map != table {
			return errRearranged
		}
		p.Map = table
	}
	keys, cursor := scan.Val()
	p.Cursor = cursor
	for _, key := range keys {
		if slot, ok := d.slot(key); ok {
			p.Left = append(p.Left, []byte(slot))
		}
	}
	return nil
}

// escape makes a key's beginning a pattern that matches nothing else.
var escape = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

func infoLine(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// clusterMap reads what CLUSTER NODES says: which master has which slots, as a
// hash, and how many masters have any. It is not ok while the asked node gives
// or takes a slot, or is no master.
func clusterMap(nodes string) (table string, masters int, ok bool) {
	var has []string
	for line := range strings.Lines(nodes) {
		f := strings.Fields(line) // id, address, flags, master, ping, pong, epoch, link, slots …
		if len(f) <= 8 || !slices.Contains(strings.Split(f[2], ","), "master") {
			continue
		}
		if strings.Contains(f[2], "myself") {
			ok = !strings.Contains(line, "[")
		}
		slices.Sort(f[8:])
		has = append(has, f[0]+" "+strings.Join(f[8:], " "))
	}
	slices.Sort(has)
	sum := sha256.Sum256([]byte(strings.Join(has, "\n")))
	return hex.EncodeToString(sum[:8]), len(has), ok
}

// masters returns every master, always in the same order.
func (d *Driver) masters(ctx context.Context) ([]*goredis.Client, error) {
	var mu sync.Mutex
	var masters []*goredis.Client
	err := d.eachMaster(ctx, func(_ context.Context, c *goredis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, c)
		return nil
	})
	if err == nil && len(masters) == 0 {
		err = errors.New("no master is known")
	}
	slices.SortFunc(masters, func(a, b *goredis.Client) int { return strings.Compare(a.Options().Addr, b.Options().Addr) })
	return masters, err
}

func (p *page) text() (string, error) {
	b, err := cbor.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(b), err
}

func parsePage(text string) (p page, err error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = cbor.Unmarshal(b, &p)
	}
	if err != nil {
		return page{}, fmt.Errorf("cache redis: no list goes on from there: %w", err)
	}
	return p, nil
}
