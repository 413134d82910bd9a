#!/bin/sh
# Builds Kubernetes as a single binary, and creates links to it with the names of its components.
# Usage: hack/kube/build.sh BIN-FOLDER
set -eu

mkdir -p "$1/k8s"
bin=$(cd "$1" && pwd)
cd "$(dirname "$0")"
version=$(sed -n 's|^[[:space:]]*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' go.mod)
major=$(echo "$version" | cut -d. -f1 | tr -d v)
minor=$(echo "$version" | cut -d. -f2)
about=k8s.io/component-base/version

echo "Building Kubernetes $version into $bin/kube: 6 to 20 minutes the first time, seconds later"
# Build to another name first: a cluster may be running from the old file.
CGO_ENABLED=0 go run -C ../.. ./hack/gobuild -C hack/kube -o "$bin/kube.new" \
	-ldflags "-s -w -X $about.gitVersion=$version -X $about.gitMajor=$major -X $about.gitMinor=$minor" .
mv "$bin/kube.new" "$bin/kube"

for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
	ln -sfn ../kube "$bin/k8s/$name"
done
