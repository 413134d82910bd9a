#!/bin/sh
# Writes a kustomization of config/default with the operator's image into a folder.
# Usage: hack/overlay.sh FOLDER IMAGE
set -eu

folder=$1 image=$2
refuse() {
	echo "IMG is \"$image\": $1" >&2
	exit 1
}
case $image in
*[!A-Za-z0-9._/:@-]*) refuse "it must be the name of an image, such as registry.example.com/pipelinejob-operator:v1" ;;
esac

digest='' tag=''
case $image in
*@sha256:*) digest=${image##*@} ;;
esac
name=${image%%@*}
case ${name##*/} in
*:*)
	tag=${name##*:}
	name=${name%:*}
	;;
esac
[ -n "$name" ] || refuse "it has no name"
if [ -n "$digest" ]; then
	version="digest: \"$digest\""
elif [ -n "$tag" ]; then
	version="newTag: \"$tag\""
else
	refuse "it must end with a tag (:v1) or a digest (@sha256:...)"
fi

mkdir -p "$folder"
# kustomize takes relative paths only.
base=$(realpath --relative-to="$folder" "$(dirname "$0")/../config/default")
cat >"$folder/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: ["$base"]
images:
- name: image.invalid/pipelinejob-operator
  newName: "$name"
  $version
YAML
