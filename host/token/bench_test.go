package token_test

import (
	"testing"

	"github.com/authhost/authhost/host"
)

// A token as Keycloak makes them: about 800 bytes.
func benchToken(b *testing.B) string {
	return rs256(b, map[string]any{
		"jti": "0f2f1c7e-8a5d-4f0a-9f8e-6a1f1c7e8a5d", "typ": "Bearer", "azp": "console", "scope": "openid profile email",
		"roles": []string{"viewer", "editor"}, "groups": []string{"platform"},
		"email": "alice@example.com", "email_verified": true, "preferred_username": "alice",
	})
}

func BenchmarkValidateRemembered(b *testing.B) {
	v, tok := mustNew(b, fromFile(b, nil)), benchToken(b)
	wantVerdict(b, v, tok, host.Valid)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if got, err := v.Validate(ctx, tok); err != nil || got.Verdict != host.Valid {
			b.Fatal(got.Verdict, err)
		}
	}
}

func BenchmarkValidateNewRS256(b *testing.B) {
	o, tok := fromFile(b, nil), benchToken(b)
	o.Remember = -1
	v, ctx := mustNew(b, o), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if got, err := v.Validate(ctx, tok); err != nil || got.Verdict != host.Valid {
			b.Fatal(got.Verdict, err)
		}
	}
}

func BenchmarkValidateMalformed(b *testing.B) {
	v, tok, ctx := mustNew(b, fromFile(b, nil)), benchToken(b)+".", b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if got, err := v.Validate(ctx, tok); err != nil || got.Verdict != host.BadForm {
			b.Fatal(got.Verdict, err)
		}
	}
}
