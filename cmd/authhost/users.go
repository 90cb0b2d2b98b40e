package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

// runUsers is users show and users logout.
func runUsers(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, verb, id, err := newClientFlags("users", stderr).parse(args, "show ID", "logout ID")
	if err != nil {
		return err
	}
	if verb == "logout" {
		return c.logoutUser(ctx, id, stdout)
	}
	return c.showUser(ctx, id, stdout)
}

// runSessions is sessions list.
func runSessions(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, _, id, err := newClientFlags("sessions", stderr).parse(args, "list USER_ID")
	if err != nil {
		return err
	}
	return c.listSessions(ctx, id, stdout)
}

type remoteUser struct {
	UserID   string `json:"user_id"`
	Realm    string `json:"realm"`
	Active   bool   `json:"active"`
	Sessions int    `json:"sessions"`
}

func (c *client) showUser(ctx context.Context, id string, stdout io.Writer) error {
	var u remoteUser
	if err := c.call(ctx, "GET", c.user(id), &u); err != nil {
		return err
	}
	if c.json {
		return writeJSON(stdout, u)
	}
	return writeTable(stdout, "USER\tREALM\tACTIVE\tSESSIONS",
		fmt.Sprintf("%s\t%s\t%s\t%d", u.UserID, u.Realm, yes(u.Active), u.Sessions))
}

func (c *client) logoutUser(ctx context.Context, id string, stdout io.Writer) error {
	if err := c.call(ctx, "POST", c.user(id)+"/logout", nil); err != nil {
		return err
	}
	if c.json {
		return writeJSON(stdout, struct {
			UserID    string `json:"user_id"`
			LoggedOut bool   `json:"logged_out"`
		}{id, true})
	}
	_, err := fmt.Fprintf(stdout, "%s is logged out everywhere\n", printable(id))
	return err
}

type remoteSession struct {
	ID            string    `json:"id"`
	CreatedAt     time.Time `json:"created_at"`
	LastSeenAt    time.Time `json:"last_seen_at"`
	IdleExpiresAt time.Time `json:"idle_expires_at"`
	ExpiresAt     time.Time `json:"expires_at"`
	Current       bool      `json:"current"`
}

// remotePage is one page of a list, or with NextPage nil all of it.
type remotePage[T any] struct {
	Items    []T     `json:"items"`
	NextPage *string `json:"next_page"`
}

// listSessions shows all of a user's sessions, page after page.
func (c *client) listSessions(ctx context.Context, id string, stdout io.Writer) error {
	all, err := everyPage[remoteSession](ctx, c, c.user(id)+"/sessions")
	if err != nil {
		return err
	}
	if c.json {
		return writeJSON(stdout, all)
	}
	rows := []string{"SESSION\tCREATED\tLAST SEEN\tIDLE UNTIL\tEXPIRES\tCURRENT"}
	for _, s := range all.Items {
		rows = append(rows, strings.Join([]string{s.ID, readable(s.CreatedAt), readable(s.LastSeenAt),
			readable(s.IdleExpiresAt), readable(s.ExpiresAt), yes(s.Current)}, "\t"))
	}
	return writeTable(stdout, rows...)
}

// everyPage follows a list to its end. A server that names a page a second
// time has no end.
func everyPage[T any](ctx context.Context, c *client, path string) (all remotePage[T], err error) {
	all.Items = []T{}
	seen := map[string]bool{}
	for query := "?limit=1000"; ; {
		var page remotePage[T]
		if err := c.call(ctx, "GET", path+query, &page); err != nil {
			return all, err
		}
		all.Items = append(all.Items, page.Items...)
		if page.NextPage == nil {
			return all, nil
		}
		if seen[*page.NextPage] {
			return all, fmt.Errorf("the server's list has no end: a page names one that was read already")
		}
		seen[*page.NextPage] = true
		query = "?limit=1000&page_token=" + url.QueryEscape(*page.NextPage)
	}
}

// writeTable writes rows of cells separated by tabs, the first being the head.
func writeTable(w io.Writer, rows ...string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := strings.Split(row, "\t")
		for i := range cells {
			cells[i] = printable(cells[i])
		}
		fmt.Fprintln(t, strings.Join(cells, "\t")) // an error is kept for Flush
	}
	return t.Flush()
}

// readable is a moment for people, where they are.
func readable(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
