#!/bin/sh
# Fails if the cluster has objects of the operator's kinds. Only the operator removes their
# finalizers. Without it, they would block the deletion of their CRDs.
# Usage: hack/check-empty.sh KUBECTL
set -eu

kubectl=$1 group=codepipeline.pipelinejob.dev
for kind in customactions pipelinejobs codepipelineaccounts; do
	installed=$("$kubectl" get crd "$kind.$group" --ignore-not-found -o name)
	[ -n "$installed" ] || continue
	left=$("$kubectl" get "$kind.$group" --all-namespaces --no-headers -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name)
	[ -n "$left" ] || continue
	echo "There are $kind in the cluster:" >&2
	echo "$left" >&2
	echo "Delete them while the operator runs, and wait until they are gone:" >&2
	echo "  kubectl delete customactions --all -A && kubectl delete pipelinejobs --all -A && kubectl delete codepipelineaccounts --all" >&2
	exit 1
done
