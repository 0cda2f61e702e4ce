# loupe: `make help` lists the targets. Needs Go (see go.mod), make and python3 with pip; everything else is fetched.

BIN        := bin/loupe
TIMEOUT    ?= 25m
TESTFLAGS  ?=
FUZZTIME   ?= 10s
DEMO       ?= run demo
DEMO_FLAGS ?=
PAPERS_FLAGS ?=
BENCH      ?= forward store sweep vectors erase circuits
BENCH_FLAGS ?= --threads 2 --seconds 2

# Packages whose tests spend their time inside the compiled graphs, where the race detector sees nothing.
RACE_SKIP ?= loupe/probe/model loupe/sae
# Packages that are tested on the pure Go backend too.
GO_BACKEND ?= ./internal/backend ./probe/model ./vectors

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The pure Go backend multiplies float32 matrices about 7 times faster with it.
ifeq ($(shell go env GOARCH),amd64)
export GOEXPERIMENT := simd
endif

# XLA is loaded through cgo, which needs a C compiler. Where there is none, a pinned one comes from a Python wheel (zig cc).
export CGO_ENABLED := 1
ZIG         := ziglang==0.15.2
ZIG_SHA256  := 806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130
TOOLCHAIN   := $(or $(LOUPE_HOME),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/loupe)/toolchain
NEED_CC     :=
ifeq ($(origin CC),default)
  ifeq ($(shell command -v $$(go env CC) 2>/dev/null),)
    ifneq ($(shell command -v clang 2>/dev/null),)
      export CC := clang
    else ifneq ($(shell command -v cc 2>/dev/null),)
      export CC := cc
    else ifeq ($(shell go env GOOS GOARCH | xargs),linux amd64)
      NEED_CC := $(TOOLCHAIN)/$(ZIG)/ziglang/zig
      export CC := $(NEED_CC) cc -target x86_64-linux-gnu.2.28
    else
      NEED_CC := no-compiler
    endif
  endif
endif

# Outside a readable git checkout Go cannot stamp the version.
ifeq ($(shell git rev-parse HEAD 2>/dev/null),)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

.DEFAULT_GOAL := help
.PHONY: help setup build test test-cuda race lint bench demo papers-erase papers-erase-full fuzz peers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(NEED_CC) ## build bin/loupe
	go build -o $(BIN) ./cmd/loupe

setup: build ## build, then install plugin and default models (the second run only looks)
	$(BIN) setup

test: setup ## set-up, then all tests on xla:cpu and some on go; a skipped backend, model or golden test fails
	LOUPE_REQUIRE=1 go test -timeout $(TIMEOUT) $(TESTFLAGS) ./...
	LOUPE_REQUIRE=1 LOUPE_BACKEND=go go test -timeout $(TIMEOUT) $(TESTFLAGS) $(GO_BACKEND)

test-cuda: build ## all tests on xla:cuda (or another plugin: make test-cuda LOUPE_BACKEND=xla:/path/to/plugin.so)
	$(BIN) setup --cuda
	LOUPE_REQUIRE=1 LOUPE_BACKEND=$(or $(LOUPE_BACKEND),xla:cuda) go test -timeout $(TIMEOUT) -p 1 $(TESTFLAGS) ./...

race: $(NEED_CC) ## the tests of the host packages under the race detector
	go test -race -timeout $(TIMEOUT) $(TESTFLAGS) $(filter-out $(RACE_SKIP),$(shell go list ./...))

# The fuzzing engine sometimes ends a target whose time is up with "context deadline exceeded" (golang/go#75804, mended in Go 1.27): no finding.
fuzz: $(NEED_CC) ## every fuzz target for FUZZTIME (default 10s)
	@set -e; mkdir -p .make; log=.make/fuzz.log; \
	grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
	  for target in $$(go test -list '^Fuzz' $$dir </dev/null | grep '^Fuzz'); do \
	    echo "== $$dir $$target"; \
	    if go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir </dev/null >$$log 2>&1; then tail -n 1 $$log; \
	    elif grep -q 'context deadline exceeded' $$log && ! grep -q 'Failing input' $$log; then echo "ok  (time was up)"; \
	    else cat $$log; exit 1; fi; \
	  done; \
	done

lint: $(NEED_CC) ## gofmt, go vet, staticcheck and the rules of the project
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not gofmt-ed:" $$bad; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	@bad=$$(go list -f '{{.ImportPath}} {{.Imports}} {{.TestImports}} {{.XTestImports}}' ./... | grep 'apache/arrow' | cut -d' ' -f1 | grep -v '^loupe/internal/arrowio$$'); \
	  if [ -n "$$bad" ]; then echo "arrow may be imported by internal/arrowio alone, not by" $$bad; exit 1; fi
	@bad=$$(find . -name '*.go' ! -name '*_test.go' ! -name '*_gen.go' -exec awk 'END{if (NR > 500) print FILENAME}' {} \;); \
	  if [ -n "$$bad" ]; then echo "more than 500 lines:" $$bad; exit 1; fi
	@echo lint: ok

bench: setup ## short benchmarks of all kinds, as JSON lines
	@set -e; for kind in $(BENCH); do $(BIN) bench $$kind $(BENCH_FLAGS); done

demo: setup ## the end-to-end run on MiniLM
	$(BIN) $(DEMO) $(DEMO_FLAGS)

papers-erase: setup ## every experiment on erasure at its small budget, then one report; what is done is not run again
	$(BIN) erase papers $(PAPERS_FLAGS)

papers-erase-full: setup ## the same at the published budgets (hours)
	$(BIN) erase papers --full $(PAPERS_FLAGS)

# A virtual environment in the cache folder; it appears whole or not at all, and is made anew when the list changes.
PEERS := $(or $(LOUPE_HOME),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/loupe)/peers
peers: ## install the Python tools that the tests of exchange compare with (docs/peers.txt)
	@if cmp -s docs/peers.txt '$(PEERS)/peers.txt'; then echo "peers: $(PEERS) is there"; else \
	  rm -rf '$(PEERS)' && python3 -m venv '$(PEERS)' && \
	  '$(PEERS)/bin/python3' -m pip install --quiet --no-input --disable-pip-version-check -r docs/peers.txt && \
	  cp docs/peers.txt '$(PEERS)/peers.txt' && echo "peers: installed in $(PEERS)"; fi

clean: ## remove what was built (not the cache folder, not runs/)
	rm -rf bin .make

# pip checks the digest; the folder appears whole or not at all.
$(TOOLCHAIN)/$(ZIG)/ziglang/zig:
	@echo "no C compiler found: installing $(ZIG) into $(TOOLCHAIN)"
	@rm -rf '$(TOOLCHAIN)/tmp' && mkdir -p '$(TOOLCHAIN)/tmp'
	@echo '$(ZIG) --hash=sha256:$(ZIG_SHA256)' >'$(TOOLCHAIN)/tmp/requirements.txt'
	PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --no-input --disable-pip-version-check --no-deps --only-binary=:all: \
	  --require-hashes --no-warn-script-location --target '$(TOOLCHAIN)/tmp/$(ZIG)' -r '$(TOOLCHAIN)/tmp/requirements.txt'
	@mv '$(TOOLCHAIN)/tmp/$(ZIG)' '$(TOOLCHAIN)/$(ZIG)' && rm -rf '$(TOOLCHAIN)/tmp'

.PHONY: no-compiler
no-compiler:
	@echo "no C compiler found, and loupe needs one to load XLA: install gcc or clang (Debian and Ubuntu: apt-get install gcc libc6-dev)"; exit 1
