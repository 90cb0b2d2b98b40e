package rule

default allow := false

allow if {
	input.path == "/api/gitops/sync"
	"editor" in input.roles
}
