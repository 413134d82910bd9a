# Where things are built; git-ignored.
BIN := $(CURDIR)/bin

# The local cluster to work with: CLUSTER=two make cluster-up starts another.
CLUSTER ?= local
CLUSTER_ROOT := $(CURDIR)/.cluster
CLUSTER_FLAGS = --root=$(CLUSTER_ROOT) --name=$(CLUSTER) --assets=$(BIN)/k8s --images=$(BIN)/images

# The images to build: none named means all.
IMAGES ?=

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
	rm -rf $(BIN)

##@ Local cluster

.PHONY: kube
kube: $(BIN)/kube ## Build Kubernetes into bin/k8s (about 6 minutes the first time)

$(BIN)/kube: $(wildcard hack/kube/*.go) hack/kube/go.mod hack/kube/go.sum hack/kube/build.sh
	@hack/kube/build.sh $(BIN)

# Go decides whether anything is to be done; it is quick when nothing is.
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
cluster-up: kube $(BIN)/cluster $(BIN)/images-tool ## Start the cluster or heal it (CLUSTER=name for one more)
	@hack/debian-packages.sh containerd:containerd runc:runc containernetworking-plugins:/usr/lib/cni/ptp nftables:nft iproute2:ip
	@$(BIN)/images-tool --repo=$(CURDIR) --out=$(BIN)/images pause
	@$(BIN)/cluster up $(CLUSTER_FLAGS)

.PHONY: cluster-load
cluster-load: images $(BIN)/cluster ## Build the images and load into the cluster those that changed
	@$(BIN)/cluster load $(CLUSTER_FLAGS)

.PHONY: cluster-status
cluster-status: $(BIN)/cluster ## Show the cluster's parts, their health and their logs
	@$(BIN)/cluster status $(CLUSTER_FLAGS)

.PHONY: cluster-down
cluster-down: $(BIN)/cluster ## Stop the cluster and delete all that belongs to it
	@$(BIN)/cluster down $(CLUSTER_FLAGS)
