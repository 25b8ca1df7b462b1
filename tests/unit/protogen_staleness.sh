#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# protogen_staleness.sh - what is committed is what protogen writes now: protogen_staleness.sh PROTOGEN PROTO_FOLDER
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$1" "$fresh"
for page in MESSAGES.md schema python/modelyard/messages.py; do
    diff -r "$2/$page" "$fresh/$page" || {
        echo "$2/$page is stale: run $1 $2 and commit what changed" >&2
        exit 1
    }
done
