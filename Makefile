# What can be done with this repository. "make run" and "make test" do all of the
# set-up that they need.

GO ?= go

.PHONY: build run test lint fmt e2e differential bench bench-irc fuzz tools clean

# The product is pure Go: one static binary. The tag is for encryption of bridges.
build:
	CGO_ENABLED=0 $(GO) build -tags goolm -trimpath -o bin/ ./cmd/causeway ./cmd/causeway-bench

# Serves on the address and from the folder that it prints.
run: build
	bin/causeway

# Installs what is missing for the tests, then runs all of them.
test: tools
	build/test.sh

lint:
	build/lint.sh

fmt:
	find . -name node_modules -prune -o -name '*.go' -print0 | xargs -0 gofmt -w

# The end-to-end tests alone, with their names. make e2e RUN=TestTalk for some of them.
e2e: tools
	RUN='$(RUN)' build/e2e.sh

# Our authorisation rules against those of another implementation.
differential:
	build/differential.sh -count=1 -v

# The table of docs/benchmarks.md, for this machine.
bench: build tools
	build/bench.sh

# The tables of the bridge to IRC, which take half an hour. make bench-irc RUN=FiguresOfMemory for some of them.
bench-irc: tools
	build/bench-irc.sh '$(RUN)'

fuzz:
	build/fuzz.sh

# What the tests need and the product does not: PostgreSQL, ngircd, Chromium, npm packages.
tools:
	build/tools.sh

# Leaves the server's data alone.
clean:
	rm -rf bin cmd/causeway/e2e/testdata/node_modules
	$(GO) clean -testcache
