#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# protogen_staleness.sh - what is committed is what protogen writes now: protogen_staleness.sh PROTOGEN PROTO_FOLDER DEPLOY_FOLDER
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$1" "$fresh" "$fresh"

compare () {
    diff -r "$2/$3" "$fresh/$3" || {
        echo "$2/$3 is stale: run $1 and commit what changed" >&2
        exit 1
    }
}
for page in MESSAGES.md schema python/modelyard/messages.py; do
    compare "$1 $2 $3" "$2" "$page"
done
compare "$1 $2 $3" "$3" modelyard.yaml
