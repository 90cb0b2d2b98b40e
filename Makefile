# authhost. `make run` tries it, `make check` proves it; the rest is listed in CONTRIBUTING.md.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
MODULES     := . sdk plugins
WASM        := $(patsubst %,plugins/%.wasm,cookie-fallback/cookie-fallback logout-webhook/logout-webhook rate-limit/rate-limit rbac-gitops/rbac-gitops)
ASC         := .cache/assemblyscript/node_modules/.bin/asc
VETTED      := -vet=off# by a step of its own
FUZZTIME    ?= 5s
VERSION     ?= $(shell git describe --always --dirty 2>/dev/null || echo devel)
LDFLAGS     := -X main.version=$(VERSION)

.PHONY: build run check soak bench plugins sdk-archive deps vet test-raced test-plain fuzz clean

build: plugins sdk-archive
	$(GO) build -tags grpcnotrace -ldflags '$(LDFLAGS)' -o bin/authhost ./cmd/authhost

run:
	$(GO) run -tags grpcnotrace -ldflags '$(LDFLAGS)' ./cmd/authhost dev

plugins: $(WASM)

plugins/%.wasm: FORCE
	cd plugins && GOOS=wasip1 GOARCH=wasm $(GO) build -buildmode=c-shared -o $*.wasm ./$(dir $*)

# The SDKs as `authhost plugin new` hands them out; a test holds them equal.
sdk-archive:
	$(GO) test ./cmd/authhost/internal/source -run '^TestArchiveIsTheSDK$$' -write

FORCE:

# What CI runs: nothing is skipped, what is missing is installed. The end to end
# tests mostly wait, so all else runs beside them.
check: deps plugins
	@date '+== two halves beside each other, %T'
	bash scripts/beside '$(MAKE) --no-print-directory test-raced' '$(MAKE) --no-print-directory vet test-plain fuzz'
	@date '+== all is well, %T'

# The real servers that tests start, and the compilers of plugins, are Debian's,
# but for AssemblyScript's.
deps:
	@date '+== $@, %T'
	sh scripts/install-test-servers
	$(MAKE) $(ASC)

$(ASC): sdk/assemblyscript/package.json sdk/assemblyscript/package-lock.json
	mkdir -p .cache/assemblyscript
	cp $^ .cache/assemblyscript
	cd .cache/assemblyscript && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

vet:
	@date '+== $@, %T'
	@test -z "$$(gofmt -l . )" || { gofmt -l .; echo 'gofmt: run gofmt -w on these'; exit 1; }
	for m in $(MODULES); do (cd $$m && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./...) || exit 1; done
	$(GO) vet -tags no_etcd ./cmd/authhost ./host/daemon
	for m in sdk plugins; do (cd $$m && GOOS=wasip1 GOARCH=wasm $(GO) vet ./...) || exit 1; done

test-raced:
	@date '+== $@, %T'
	$(GO) test -race $(VETTED) -timeout 20m $$($(GO) list ./... | grep -v '/host/plugin\|/abi/conformance')

# Under the race detector plugins compile ten times as long, so of their
# packages only what many goroutines do at once is run with it.
test-plain:
	@date '+== $@, %T'
	$(GO) test $(VETTED) -p 1 -timeout 20m ./host/plugin/... ./abi/conformance
	$(GO) test -race $(VETTED) -p 1 -run 'Hammer|Busy|Close|Spare|Breaker|Shared|NoInstance|Slow|Budget' ./host/plugin/...
	for m in sdk plugins; do (cd $$m && $(GO) test -race $(VETTED) -p 1 ./...) || exit 1; done

# Tests that measure a time run beside it, so it takes what they leave.
fuzz:
	@date '+== $@, %T'
	nice sh scripts/fuzz $(FUZZTIME)

# What takes longer: kills, outages, reloads under load, long fuzzing.
soak: deps plugins
	$(GO) test -race -timeout 60m ./e2e -soak
	$(GO) test -race -timeout 30m ./host/cache/file ./host/cache/redis -rounds 200
	$(GO) test -timeout 30m ./host/plugin -run TestSpecification -soak
	sh scripts/fuzz 5m
	sh scripts/fuzz 10m host/plugin FuzzMeter

bench: deps plugins
	$(GO) test -timeout 60m -run '^$$' -bench . -benchmem ./...
	cd bench/peers && $(GO) vet ./... && $(GO) test -bench . ./...

clean:
	rm -rf bin plugins/*/*.wasm
