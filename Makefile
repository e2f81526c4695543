# Everything that a developer or CI calls. `make help` lists it.
GO       ?= go
BIN      := bin
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
# grpcnotrace leaves out the tracing pages of gRPC: 7 MB that nobody opens.
# nethttpomithttp2 leaves out HTTP/2 of net/http: 0.5 MB. gRPC has its own, and
# registries, Nomad, Vault and the collectors speak HTTP/1.1, too.
TAGS     := grpcnotrace,nethttpomithttp2
LDFLAGS  := -s -w -X main.number=$(VERSION) -X main.commit=$(COMMIT)
GOBUILD  := CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)"
LINT     := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.DEFAULT_GOAL := help
.PHONY: help build test unit fuzz e2e lint vet fmt bench size cover demo image clean tools chaos chaos-short chaos-points chaos-mutants model

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

build: ## bin/dispatchd and bin/dispatchd-dev
	$(GOBUILD) -o $(BIN)/dispatchd ./cmd/dispatchd
	$(GOBUILD) -o $(BIN)/dispatchd-dev ./cmd/dispatchd-dev

test: vet lint unit model fuzz size chaos-points chaos-short e2e demo ## everything: vet, lint, unit tests, fuzz corpora, size, e2e on real parts

unit: ## unit tests with the race detector; no daemon
	$(GO) test -race -shuffle=on -tags $(TAGS) ./cmd/... ./internal/... ./packs/... ./test/demo/... ./test/fields/...

vet: ## go vet, with every build tag
	$(GO) vet -tags $(TAGS),e2e ./...

lint: ## golangci-lint
	$(LINT) run --build-tags $(TAGS),e2e ./...

fmt: ## format the code
	$(LINT) fmt ./...

FUZZTIME ?= 3s
fuzz: ## each fuzz target for FUZZTIME
	@./scripts/fuzz.sh $(FUZZTIME)

e2e: build ## the e2e suite on real parts (root, Debian)
	$(GO) run ./test/withbed $(GO) test -tags $(TAGS),e2e -count=1 -p 1 -timeout 20m ./internal/nomad ./internal/buildkit ./internal/pack
	$(GO) test -tags $(TAGS),e2e -count=1 -p 1 -timeout 30m ./test/testbed ./test/e2e

# Where PREVIOUS names a revision, the third worker is of that one.
SEED ?= 1
PREVIOUS ?=
CHAOS_RUN = $(BIN)/chaos/run -bin $(BIN)/chaos -seed $(SEED) $(if $(PREVIOUS),-previous $(BIN)/chaos/worker-previous)
chaos: ## workers and NATS servers die for ten minutes; then what the streams say (root for a full disk; SEED=2 PREVIOUS=v1.0.0)
	@PREVIOUS=$(PREVIOUS) ./scripts/chaos-build.sh $(BIN)/chaos skew
	@$(CHAOS_RUN)

chaos-short: ## the same in under a minute
	@PREVIOUS=$(PREVIOUS) ./scripts/chaos-build.sh $(BIN)/chaos
	@$(CHAOS_RUN) -short

chaos-points: ## a worker is killed and stopped at its messages, one after the other (CHAOS=all for every one)
	$(GO) test -tags $(TAGS) -count=1 -timeout 20m ./test/chaos/...

model: ## all that a few faults can make of a model of the protocol (MODEL=all for more of them: 5 min, 10 GB)
	$(GO) test -count=1 -timeout 3h ./test/model

chaos-mutants: ## break the protocol on purpose, and see that the checker sees it
	@./scripts/chaos-mutants.sh

# Where asyncjobs cannot be downloaded, DISPATCHD_BENCH_ASYNCJOBS=DIR names its source.
BENCH ?= .
bench: build ## speed and size beside the same work by hand, as a table (root, Debian; BENCH=Throughput for a part)
	$(GO) test -tags $(TAGS),e2e -run '^$$' -bench '$(BENCH)' -benchtime 1x -count 1 -timeout 30m ./test/bench

size: build ## the binary's size and its limit
	@./scripts/size.sh $(BIN)/dispatchd

cover: ## coverage of internal/ by the unit tests
	$(GO) test -tags $(TAGS) -coverprofile=coverage.out -coverpkg=./internal/... ./cmd/... ./internal/...
	@$(GO) tool cover -func=coverage.out | tail -1

demo: build ## a repository becomes a healthy Nomad job, on this machine (YES=1, KEEP=1)
	@$(GO) build -tags $(TAGS) -o $(BIN)/demo ./test/demo
	@$(BIN)/demo

TARGET ?= dispatchd
image: ## the container image (TARGET=docker-cli for the one with the docker client)
	docker build -f deploy/docker/Dockerfile --target $(TARGET) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) -t $(TARGET):$(VERSION) .

clean: ## remove what was built here
	rm -rf $(BIN) coverage.out
