package admin_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/admin"
)

// listed is the shape of a page of sessions.
type listed struct {
	Items []struct {
		ID            string `json:"id"`
		CreatedAt     string `json:"created_at"`
		LastSeenAt    string `json:"last_seen_at"`
		IdleExpiresAt string `json:"idle_expires_at"`
		ExpiresAt     string `json:"expires_at"`
		Current       bool   `json:"current"`
	} `json:"items"`
	NextPage *string `json:"next_page"`
}

func TestListSessions(t *testing.T) {
	g := newRig(t)
	alice := idIn("main", "alice")
	var tokens []string
	for range 5 {
		tokens = append(tokens, g.users("main").login("alice"))
		g.users("main").login("bob")
	}
	carol, operator := g.users("main").login("carol", "admin"), bearer(operatorToken)
	for name, c := range map[string]struct {
		get     func() answer
		current int // index, -1 for none
	}{
		"self":                {func() answer { return g.visit("GET", "/v1/me/sessions", bearer(tokens[2])...) }, 2},
		"self by JWT":         {func() answer { return g.visit("GET", "/v1/me/sessions", bearer(jwt("main", "alice"))...) }, -1},
		"self, the other way": {func() answer { return g.ask("GET", "/v1/users/"+alice+"/sessions", cookie(tokens[4])...) }, 4},
		"admin":               {func() answer { return g.ask("GET", "/v1/users/"+alice+"/sessions", bearer(carol)...) }, -1},
		"operator":            {func() answer { return g.ask("GET", "/v1/system/realms/main/users/"+alice+"/sessions", operator...) }, -1},
	} {
		var l listed
		a := c.get()
		if a.into(t, &l); len(l.Items) != 5 || !strings.HasSuffix(strings.TrimSpace(a.body), `"next_page":null}`) {
			t.Errorf("%s: %s", name, a)
			continue
		}
		for i, item := range l.Items {
			s := g.users("main").live[tokens[i]]
			if item.ID != s.ID || item.CreatedAt != text(s.CreatedAt) || item.LastSeenAt != text(s.LastSeenAt) ||
				item.IdleExpiresAt != text(s.IdleExpiresAt) || item.ExpiresAt != text(s.ExpiresAt) || item.Current != (i == c.current) {
				t.Errorf("%s, item %d: %+v", name, i, item)
			}
		}
		if strings.Contains(a.body, "ahs_") {
			t.Errorf("%s: secrets show: %s", name, a)
		}
	}
	if a := g.visit("GET", "/v1/me/sessions", bearer(jwt("main", "new"))...); strings.TrimSpace(a.body) != `{"items":[],"next_page":null}` {
		t.Errorf("an empty list: %s", a)
	}

	var ids []string
	next := ""
	for n := 1; ; n++ {
		var l listed
		a := g.visit("GET", "/v1/me/sessions?limit=2"+next, bearer(tokens[0])...)
		a.into(t, &l)
		for _, item := range l.Items {
			ids = append(ids, item.ID)
		}
		if l.NextPage == nil {
			if n != 3 {
				t.Errorf("%d pages", n)
			}
			break
		}
		next = "&page_token=" + *l.NextPage
	}
	if want := []string{"ses_main_0001", "ses_main_0003", "ses_main_0005", "ses_main_0007", "ses_main_0009"}; !slices.Equal(ids, want) {
		t.Errorf("page by page: %v", ids)
	}
	for query, want := range map[string]string{
		"limit=1": "", "limit=1000": "", "other=1": "", "page_token=": "",
		"limit=0": "bad_limit", "limit=1001": "bad_limit", "limit=": "bad_limit", "limit=-1": "bad_limit", "limit=ten": "bad_limit", "limit=1e2": "bad_limit",
		"limit=%2B1": "bad_limit", "limit=99999999999999999999": "bad_limit", "limit=1&limit=1": "bad_limit",
		"page_token=x": "bad_page_token", "page_token=a&page_token=b": "bad_page_token", "limit=%zz": "bad_query",
	} {
		a := g.visit("GET", "/v1/me/sessions?"+query, bearer(tokens[0])...)
		if want == "" && a.status != 200 || want != "" && (a.status != 400 || a.reason(t) != want) {
			t.Errorf("%s: %s", query, a)
		}
	}
}

// FuzzPage sees to it that no query is read as a page that may not be asked for.
func FuzzPage(f *testing.F) {
	for _, s := range []string{"", "limit=1", "limit=0", "limit=1001&page_token=x", "limit=1;limit=2", "%", "page_token=%00", "limit=१"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if p, err := admin.PageOf(query); err == nil && (p.Limit < 1 || p.Limit > 1000) {
			t.Errorf("%q: limit %d", query, p.Limit)
		} else if kind, _ := host.Explain(err); err != nil && kind != host.BadRequest {
			t.Errorf("%q: %v", query, err)
		}
	})
}
