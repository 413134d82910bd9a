# The folder for build results, ignored by git.
BIN := $(CURDIR)/bin

# The local cluster to work with: CLUSTER=two make cluster-up starts another.
CLUSTER ?= local
CLUSTER_ROOT := $(CURDIR)/.cluster
CLUSTER_FLAGS = --root=$(CLUSTER_ROOT) --name=$(CLUSTER) --assets=$(BIN)/k8s --images=$(BIN)/images

# The folder with the kube-apiserver and etcd of tests. Unless it is set, Kubernetes is built.
ifndef KUBEBUILDER_ASSETS
KUBEBUILDER_ASSETS := $(BIN)/k8s
BUILT_ASSETS := kube
endif
ASSETS = KUBEBUILDER_ASSETS=$(abspath $(KUBEBUILDER_ASSETS))

# The images to build. Empty means all.
IMAGES ?=

# The operator's image, with a tag or a digest: IMG=registry.example.com/pipelinejob-operator:v1.
IMG ?=
# The image that make images builds and the local cluster has.
LOCAL_IMG := pipelinejob.dev/operator:dev

# What builds images: docker, podman or nerdctl.
CONTAINER_TOOL ?= docker
# kubectl: the one in $PATH or, if there is none, built into bin/k8s.
KUBECTL ?= $(or $(shell command -v kubectl),$(BIN)/k8s/kubectl)
# Where build-installer writes install.yaml.
DIST ?= $(CURDIR)/dist
# If true, uninstall and undeploy succeed if there is nothing to delete.
ignore-not-found ?= false

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

##@ General

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
		/^[a-zA-Z0-9_-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: clean
clean: ## Delete what was built (the clusters stay: see cluster-down)
	rm -rf $(BIN) $(DIST)

##@ Try and test

# Flags of the demo: --break makes the test action fail.
DEMO_FLAGS ?=

.PHONY: demo
demo: cluster-up cluster-load demo-build ## Run a pipeline to its end on a real Kubernetes on this machine
	@KUBECONFIG=$$($(BIN)/cluster kubeconfig $(CLUSTER_FLAGS)) $(BIN)/demo --kubectl=$(BIN)/k8s/kubectl $(DEMO_FLAGS)
	@echo
	@echo 'Look further:  export KUBECONFIG='$$($(BIN)/cluster kubeconfig $(CLUSTER_FLAGS))' PATH=$(BIN)/k8s:$$PATH'
	@echo '               kubectl -n pipelines describe cpjob     kubectl -n pipelines get cpaction,cpjob,jobs,pods'
	@echo '               kubectl -n pipelinejob-system port-forward deploy/codepipeline-emulator 4566 &'
	@echo '               AWS_ENDPOINT_URL=http://127.0.0.1:4566 aws codepipeline get-pipeline-state --name demo'
	@echo 'See a failure: make demo DEMO_FLAGS=--break'
	@echo 'Clean up:      make cluster-down'

.PHONY: demo-install
demo-install: kube demo-build ## The demo on a cluster of your own, by $KUBECONFIG; it must have the images
	@$(BIN)/demo --kubectl=$(BIN)/k8s/kubectl $(DEMO_FLAGS)

.PHONY: demo-build
demo-build:
	@go build -o $(BIN)/demo ./hack/demo

# With REQUIRE_TOOLS, what tests need is installed, and a test that can't run fails.
.PHONY: test
test: export REQUIRE_TOOLS = 1
test: verify lint test-unit test-chaos test-e2e ## Everything, as root: what CI runs

# Packages with tests of the build constraint "!race": with the race detector their
# large artifacts would take minutes.
WITHOUT_RACE = $(sort $(dir $(shell grep -rl --include='*_test.go' '^//go:build !race$$' internal)))

.PHONY: test-unit
test-unit: $(BUILT_ASSETS) $(BIN)/gotestsum ## Unit and envtest suites, with the race detector except for large artifacts
	@[ -z "$$REQUIRE_TOOLS" ] || hack/debian-packages.sh python3:python3 unzip:unzip xz-utils:xz curl:curl awscli:aws
	$(ASSETS) $(BIN)/gotestsum -- -race -timeout=30m ./...
	$(BIN)/gotestsum -- -timeout=30m $(addprefix ./,$(WITHOUT_RACE))
	@cd hack/images && $(BIN)/gotestsum -- -race -timeout=30m ./...
	@cd hack/schema && $(BIN)/gotestsum -- -race -timeout=30m ./...

# How long each fuzz test runs.
FUZZ_TIME ?= 2m

.PHONY: fuzz
fuzz: ## Fuzz the emulator (requests, pipelines, signatures) and the unpacker of artifacts
	@for target in FuzzRequest FuzzPipeline FuzzSignature; do \
		go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZ_TIME) -fuzzminimizetime=20x ./emulator || exit 1; done
	@for target in FuzzUnpack FuzzLinks; do \
		go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZ_TIME) -fuzzminimizetime=20x ./internal/archive || exit 1; done

.PHONY: soak
soak: ## Run a million jobs in the emulator and check its memory
	JOBS=1000000 go test -count=1 -run=MemoryIsFreed -v ./emulator/internal/engine

.PHONY: bench
bench: ## Benchmarks of the emulator, with a server that does nothing for comparison
	go test -run='^$$' -bench=. ./emulator

.PHONY: bench-artifacts
bench-artifacts: ## Measure fetch and report against aws s3 cp, zip and unzip (some minutes, and 20 GB of TMPDIR)
	@hack/debian-packages.sh awscli:aws zip:zip unzip:unzip
	go test -tags=bench -count=1 -timeout=60m -run=TestSpeedOfArtifacts -v ./internal/runner

# How many CustomActions, and live jobs, to measure.
ACTIONS ?= 500

.PHONY: scale
scale: JOBS ?= 10000
scale: $(BUILT_ASSETS) ## Measure what many CustomActions and jobs cost the operator (about 20 minutes)
	@go build -o $(BIN)/manager ./cmd/manager
	$(ASSETS) MANAGER=$(BIN)/manager ACTIONS=$(ACTIONS) JOBS=$(JOBS) go test -tags=scale -count=1 -timeout=60m -v ./test/scale

# How many jobs a run of bench-operator has, how often each kind of run is made, and how
# many single jobs are waited for when idle.
ROUNDS ?= 3
IDLE_JOBS ?= 100

.PHONY: bench-operator
bench-operator: JOBS ?= 300
bench-operator: $(BUILT_ASSETS) $(BIN)/kueue ## Compare jobs, requests and CPU with bare Jobs and Kueue (about 15 minutes)
	@go build -o $(BIN)/manager ./cmd/manager
	$(ASSETS) MANAGER=$(BIN)/manager KUEUE=$(BIN)/kueue KUEUE_CRDS="$$(cd hack/kueue && go list -m -f '{{.Dir}}' sigs.k8s.io/kueue)/config/components/crd/bases" \
		JOBS=$(JOBS) ROUNDS=$(ROUNDS) IDLE_JOBS=$(IDLE_JOBS) go test -tags=bench -count=1 -timeout=2h -v ./test/bench

# Two operators as processes, which are killed and frozen, while calls fail.
CHAOS = $(ASSETS) MANAGER=$(BIN)/manager go test -tags=chaos -count=1 -timeout=12h -v
CHAOS_PACKAGE = ./test/chaos

.PHONY: chaos
chaos: export JOBS ?= 10000
chaos: export SEED ?=
chaos: $(BUILT_ASSETS) chaos-build ## Kill, freeze and restart processes, and check JOBS jobs against a model (hours; SEED repeats a test)
	$(CHAOS) -run='^TestSeed$$' $(CHAOS_PACKAGE)

.PHONY: test-chaos
test-chaos: $(BUILT_ASSETS) chaos-build ## The same for a hundred jobs with a fixed seed, and a hundred with a random one
	$(CHAOS) $(CHAOS_PACKAGE)

.PHONY: chaos-build
chaos-build:
	@go build -o $(BIN)/manager ./cmd/manager

# On the cluster of CLUSTER, which is started and stays.
.PHONY: test-e2e
test-e2e: cluster-up cluster-load demo-build $(BIN)/gotestsum ## The demo and more, end to end on the local cluster
	@hack/debian-packages.sh awscli:aws
	KUBECONFIG=$$($(BIN)/cluster kubeconfig $(CLUSTER_FLAGS)) PATH=$(BIN)/k8s:$$PATH DEMO=$(BIN)/demo AUDIT_LOG=$$($(BIN)/cluster audit-log $(CLUSTER_FLAGS)) \
		$(BIN)/gotestsum --format=standard-verbose -- -tags=e2e -count=1 -timeout=30m ./test/e2e/...

##@ Code

CRDS := config/crd/bases

.PHONY: generate
generate: $(BIN)/controller-gen ## Generate code from api/
	@$(BIN)/controller-gen object paths=./api/...

.PHONY: manifests
manifests: $(BIN)/controller-gen $(BIN)/crd-ref-docs ## Generate CRDs, their docs and schemas, and RBAC from api/, controllers/ and internal/operator
	@$(BIN)/controller-gen crd:generateEmbeddedObjectMeta=true paths=./api/... output:crd:artifacts:config=$(CRDS)
	@go run ./hack/crdtrim $(CRDS)/*.yaml
	@cd hack/schema && go run . ../../$(CRDS) ../../config/schema
	@$(BIN)/crd-ref-docs --log-level=ERROR --renderer=markdown --source-path=api/v1alpha1 --output-path=docs/api.md \
		--config=hack/apidocs/config.yaml --templates-dir=hack/apidocs/templates
	@$(BIN)/controller-gen rbac:roleName=pipelinejob-operator paths=./controllers/... paths=./internal/operator output:rbac:artifacts:config=config/rbac
	@go run ./hack/roles config/rbac/role.yaml config/namespaced

.PHONY: messages
messages: ## Collect the texts that users see from the code, for lint and reviews
	@go run ./hack/messages . hack/messages/messages.txt

.PHONY: fmt
fmt: $(BIN)/golangci-lint ## Format the code
	@$(BIN)/golangci-lint fmt

.PHONY: lint
lint: $(BIN)/golangci-lint actionlint vale ## Run golangci-lint, kube-api-linter over api/, actionlint and Vale
	@$(BIN)/golangci-lint run --timeout=20m ./...
	@$(BIN)/golangci-lint run --timeout=20m --build-tags=bench,chaos,e2e,scale ./test/...
	@$(BIN)/golangci-lint run --timeout=20m --config=.golangci-kal.yml ./api/...

.PHONY: actionlint
actionlint: $(BIN)/actionlint ## Check the GitHub workflows
	@$(BIN)/actionlint -shellcheck= -pyflakes=

# .vale.ini names the rules.
.PHONY: vale
vale: $(BIN)/vale ## Check the English of docs, comments and messages
	@git ls-files -z --cached --others --exclude-standard '*.md' '*.go' '*.yaml' '*.yml' hack/messages/messages.txt | \
		xargs -0 $(BIN)/vale --no-global --output=line

.PHONY: verify
verify: $(BIN)/controller-gen $(BIN)/crd-ref-docs ## Fail when a generated file or a module file is stale
	@hack/verify.sh

##@ Build and deploy

.PHONY: build
build: ## Build the programs into bin/
	@mkdir -p $(BIN)
	go build -o $(BIN)/ ./cmd/...

# Where the emulator of make run listens. Pods with artifacts must be able to reach it.
EMULATOR ?= 127.0.0.1:4566
# Flags of the operator and of the emulator.
RUN_FLAGS ?=
EMULATOR_FLAGS ?=

.PHONY: run
run: build ## Run the operator from source against $KUBECONFIG, beside the emulator of CodePipeline
	@EMULATOR='$(EMULATOR)' EMULATOR_FLAGS='$(EMULATOR_FLAGS)' RUN_FLAGS='$(RUN_FLAGS)' hack/run.sh $(BIN) '$(or $(IMG),$(LOCAL_IMG))'

.PHONY: docker-build
docker-build: img ## Build the operator's image as IMG, with CONTAINER_TOOL
	$(CONTAINER_TOOL) build -t $(IMG) .

.PHONY: docker-push
docker-push: img ## Push IMG
	$(CONTAINER_TOOL) push $(IMG)

.PHONY: install
install: kubectl ## Install the CRDs into the cluster of $KUBECONFIG
	$(KUBECTL) apply --server-side --force-conflicts -k config/crd

.PHONY: uninstall
uninstall: kubectl ## Delete the CRDs from the cluster
	@hack/check-empty.sh $(KUBECTL)
	$(KUBECTL) delete --ignore-not-found=$(ignore-not-found) -k config/crd

.PHONY: deploy
deploy: kubectl overlay ## Install the operator with IMG into the cluster of $KUBECONFIG
	$(KUBECTL) apply --server-side --force-conflicts -k $(BIN)/deploy

.PHONY: undeploy
undeploy: kubectl ## Delete the operator and the CRDs from the cluster
	@hack/check-empty.sh $(KUBECTL)
	$(KUBECTL) delete --ignore-not-found=$(ignore-not-found) -k config/default

.PHONY: build-installer
build-installer: kubectl overlay ## Write dist/install.yaml: all that deploy installs, in one file
	@mkdir -p $(DIST)
	$(KUBECTL) kustomize $(BIN)/deploy > $(DIST)/install.yaml

.PHONY: overlay
overlay: img
	@hack/overlay.sh $(BIN)/deploy '$(IMG)'

.PHONY: img
img:
	$(if $(IMG),,$(error IMG is not set: name the operator's image, such as make $(firstword $(MAKECMDGOALS)) IMG=registry.example.com/pipelinejob-operator:v1))
	@:

.PHONY: kubectl
kubectl: $(if $(filter $(BIN)/%,$(KUBECTL)),kube)

##@ Local cluster

.PHONY: kube
kube: $(BIN)/kube ## Build Kubernetes into bin/k8s (6 to 20 minutes the first time)

$(BIN)/kube: $(wildcard hack/kube/*.go) hack/kube/go.mod hack/kube/go.sum hack/kube/build.sh
	@hack/kube/build.sh $(BIN)

# Always run: go build is fast if nothing has changed.
.PHONY: $(BIN)/cluster $(BIN)/images-tool
$(BIN)/cluster:
	@go build -o $@ ./hack/cluster

$(BIN)/images-tool:
	@cd hack/images && go build -o $@ .

.PHONY: images
images: $(BIN)/images-tool ## Build the images into bin/images (IMAGES="operator pause": only these)
	@hack/debian-packages.sh busybox-static:busybox ca-certificates:/etc/ssl/certs/ca-certificates.crt
	@$(BIN)/images-tool --repo=$(CURDIR) --out=$(BIN)/images $(IMAGES)

.PHONY: cluster-up
cluster-up: kube $(BIN)/cluster $(BIN)/images-tool ## Start or repair the cluster (CLUSTER=name for another one)
	@hack/debian-packages.sh containerd:containerd runc:runc containernetworking-plugins:/usr/lib/cni/ptp nftables:nft iproute2:ip
	@$(BIN)/images-tool --repo=$(CURDIR) --out=$(BIN)/images pause
	@$(BIN)/cluster up $(CLUSTER_FLAGS)

.PHONY: cluster-load
cluster-load: images $(BIN)/cluster ## Build the images and load the changed ones into the cluster
	@$(BIN)/cluster load $(CLUSTER_FLAGS)

.PHONY: cluster-status
cluster-status: $(BIN)/cluster ## Show the cluster's parts, their health and their logs
	@$(BIN)/cluster status $(CLUSTER_FLAGS)

.PHONY: cluster-down
cluster-down: $(BIN)/cluster ## Stop the cluster and delete all that belongs to it
	@$(BIN)/cluster down $(CLUSTER_FLAGS)

##@ Tools

# "go build" that shows its progress, for what takes minutes.
GOBUILD = go run ./hack/gobuild

# Pinned by the modules in hack/tools, hack/lint, hack/vale and hack/kueue.
$(BIN)/controller-gen: hack/tools/go.mod
	@cd hack/tools && go build -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen && touch $@

$(BIN)/crd-ref-docs: hack/tools/go.mod
	@cd hack/tools && go build -o $@ github.com/elastic/crd-ref-docs && touch $@

$(BIN)/gotestsum: hack/tools/go.mod
	@cd hack/tools && go build -o $@ gotest.tools/gotestsum && touch $@

$(BIN)/actionlint: hack/tools/go.mod
	@cd hack/tools && go build -o $@ github.com/rhysd/actionlint/cmd/actionlint && touch $@

# With the plugin kube-api-linter.
$(BIN)/golangci-lint: hack/lint/go.mod
	@echo "Building golangci-lint: a few minutes, the first time"
	@$(GOBUILD) -C hack/lint -o $@ sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter && touch $@

# It needs cgo, for the parsers of what it reads.
$(BIN)/vale: hack/vale/go.mod
	@echo "Building Vale: about 2 minutes, the first time"
	@CGO_ENABLED=1 $(GOBUILD) -C hack/vale -o $@ github.com/vale-cli/vale/v3/cmd/vale && touch $@

# To compare with: see test/bench.
$(BIN)/kueue: hack/kueue/go.mod
	@echo "Building Kueue: about 5 minutes, the first time"
	@CGO_ENABLED=0 $(GOBUILD) -C hack/kueue -ldflags='-s -w' -o $@ sigs.k8s.io/kueue/cmd/kueue && touch $@

.PHONY: tools
tools: $(BIN)/controller-gen $(BIN)/crd-ref-docs $(BIN)/gotestsum $(BIN)/golangci-lint $(BIN)/actionlint $(BIN)/vale ## Build the pinned tools
