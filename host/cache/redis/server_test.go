package redis_test

import (
	"flag"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/authhost/authhost/host/cache/redis"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.NewTextHandler(io.Discard, nil)))
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // they wait for servers, not for processors
		panic(err)
	}
	os.Exit(m.Run())
}

// patient is the CallTimeout of tests that are not about it: a machine may be
// busy.
const patient = 10 * time.Second

func connect(t testing.TB, o redis.Options) *redis.Driver {
	t.Helper()
	d, err := redis.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
