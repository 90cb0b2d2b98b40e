package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// maxSet bounds a key set or secret, in bytes.
const maxSet = 1 << 20

// maxRedirects bounds the way to a key set.
const maxRedirects = 3

// defaultClient fetches key sets. A redirect keeps the scheme, so that what
// was asked for over TLS is never taken from a plain connection.
func defaultClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: DefaultFetchTimeout}).DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    DefaultFetchTimeout,
			ResponseHeaderTimeout:  DefaultFetchTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        30 * time.Second,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Scheme != via[0].URL.Scheme {
				return errors.New("redirected to another scheme")
			}
			if len(via) > maxRedirects {
				return errors.New("redirected too often")
			}
			return nil
		},
	}
}

// fromURL returns what loads a key set over HTTP.
func fromURL(client *http.Client, address string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/jwk-set+json, application/json")
		res, err := client.Do(req)
		if err != nil {
			// Without the URL, which may hold a password or a key.
			if e, ok := errors.AsType[*url.Error](err); ok {
				err = e.Err
			}
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the issuer answered %s", res.Status)
		}
		return readBounded(res.Body)
	}
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSet+1))
	if err == nil && len(data) > maxSet {
		err = fmt.Errorf("more than %d bytes", maxSet)
	}
	return data, err
}

// settle is how long a changed file must stand still before it is believed: a
// secret cut short by half is a secret too.
const settle = 100 * time.Millisecond

// fromFile returns what loads a file, through every symlink (a mounted
// Kubernetes volume swaps one). It is read in full each time, since two
// writes within one tick of the file system's clock look the same to stat.
func fromFile(path string) func(context.Context) ([]byte, error) {
	var last []byte
	return func(ctx context.Context) ([]byte, error) {
		data, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if last != nil && !bytes.Equal(data, last) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(settle):
			}
			again, err := readFile(path)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(again, data) {
				return nil, fmt.Errorf("%s is being written", path)
			}
		}
		last = data
		return data, nil
	}
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f)
}

// loopback says whether a URL's host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
