#!/usr/bin/env bash
# Regenerates all generated files in a copy of the tree, and fails if one of them differs. The tree
# itself is not changed. It needs bin/controller-gen and bin/crd-ref-docs: use "make verify".
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
	[ -e "$file" ] && printf '%s\0' "$file"
done | tar --null -T - -cf - | tar -xf - -C "$copy"
make -s -C "$copy" BIN="$PWD/bin" generate manifests messages
for module in . hack/kube hack/images hack/schema hack/tools hack/lint hack/vale hack/kueue; do
	(cd "$copy/$module" && go mod tidy)
done

stale=0
while IFS= read -r -d '' file; do
	if ! cmp -s "$file" "$copy/$file"; then
		diff -u "$file" "$copy/$file" | head -n 20 || true
		echo "stale: $file" >&2
		stale=1
	fi
done < <(git ls-files -z 'api/*' 'config/*' docs/api.md hack/messages/messages.txt '*go.mod' '*go.sum')
if [ "$stale" -ne 0 ]; then
	echo "Run 'make generate manifests messages', and 'go mod tidy' in the module named, and commit the result." >&2
	exit 1
fi
echo "Generated files and module files are up to date."
