package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	clientTimeout = time.Minute // of one request; a reload takes its time
	maxAnswer     = 8 << 20     // bytes
	maxTokenFile  = 64 << 10    // bytes
)

// client speaks to the admin API on behalf of a person or a script.
type client struct {
	server string // without a final slash
	realm  string // not empty: as the operator
	token  string
	json   bool // output for scripts
}

// clientFlags are those of every command that is a client.
type clientFlags struct {
	flags
	server, tokenFile, realm, output *string
}

func newClientFlags(name string, stderr io.Writer) clientFlags {
	f := clientFlags{flags: newFlags(name, stderr)}
	f.server = f.String("server", "http://127.0.0.1:8081", "URL of the admin listener")
	f.tokenFile = f.String("token-file", "", "file that holds a session token, a JWT or an operator's token")
	f.realm = f.String("realm", "", "as the operator, in this realm")
	f.output = f.String("output", "table", "table or json")
	return f
}

// parse reads the arguments, flags and words in any order, and wants one of
// forms, such as "list" or "show ID". Wrong usage it explains.
func (f clientFlags) parse(args []string, forms ...string) (c *client, verb, arg string, err error) {
	words, err := f.words(args)
	if err != nil {
		return nil, "", "", err
	}
	for _, form := range forms {
		name, operand, _ := strings.Cut(form, " ")
		if len(words) == 0 || words[0] != name || len(words) != 1+len(strings.Fields(operand)) || words[len(words)-1] == "" {
			continue
		}
		c, problem := f.client()
		if problem != "" {
			return nil, "", "", f.wrong("%s", problem)
		}
		c.token, err = readToken(*f.tokenFile)
		return c, name, strings.Join(words[1:], ""), err
	}
	return nil, "", "", f.wrong("want one of: %s", strings.Join(forms, ", "))
}

// client makes one of the flags, or says what is wrong with them.
func (f clientFlags) client() (c *client, problem string) {
	u, err := url.Parse(*f.server)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, "--server is not http(s)://HOST[:PORT]"
	case *f.tokenFile == "":
		return nil, "--token-file FILE is required"
	case *f.output != "table" && *f.output != "json":
		return nil, "--output is table or json"
	}
	return &client{server: strings.TrimRight(u.String(), "/"), realm: *f.realm, json: *f.output == "json"}, ""
}

// readToken reads a file that holds a token and nothing else. Errors do not
// quote it.
func readToken(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxTokenFile))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= 0x20 || c >= 0x7f }) {
		return "", fmt.Errorf("%s: want one token and nothing else in it", path)
	}
	return token, nil
}

// user is the path of one user.
func (c *client) user(id string) string {
	if c.realm != "" {
		return "/v1/system/realms/" + url.PathEscape(c.realm) + "/users/" + url.PathEscape(id)
	}
	return "/v1/users/" + url.PathEscape(id)
}

// call asks the server and reads its answer into v, nil for an answer without
// a body. An answer that is not 2xx is an error with the problem's reason.
func (c *client) call(ctx context.Context, method, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.server+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	// A redirect would be followed with the token, and is nothing the API does.
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := stay.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("%w%s", refused(res.StatusCode, body), hint(res.StatusCode, path))
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s %s: the answer is not what authhost answers: %w", method, path, err)
	}
	return nil
}

// refused tells of an answer's status, and of the reason in it (RFC 9457). What
// was refused at a step may have a reason of several lines.
func refused(status int, body []byte) error {
	var problem struct{ Reason, Step string }
	said := fmt.Sprintf("refused: %d %s", status, http.StatusText(status))
	switch {
	case json.Unmarshal(body, &problem) != nil || problem.Reason == "":
		return errors.New(said)
	case problem.Step == "":
		return fmt.Errorf("%s: %s", said, printable(problem.Reason))
	}
	lines := strings.Split(problem.Reason, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return fmt.Errorf("%s: step %s: %s", said, printable(problem.Step), strings.Join(lines, "\n  "))
}

// hint says what to look at when a whole kind of request was refused.
func hint(status int, path string) string {
	switch users, plugins := strings.HasPrefix(path, "/v1/users/"), strings.HasPrefix(path, "/v1/plugins"); {
	case status == http.StatusForbidden && users:
		return " (an operator's token wants --realm R besides)"
	case status == http.StatusForbidden && plugins:
		return " (an operator's token is wanted)"
	case status == http.StatusForbidden:
		return " (--realm wants an operator's token)"
	case status == http.StatusUnauthorized:
		return " (of --token-file: unknown, expired or ended)"
	}
	return ""
}

// printable strikes out what would make a terminal do more than show it.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, s)
}

// writeJSON writes v for scripts, on one line.
func writeJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
