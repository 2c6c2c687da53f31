#!/usr/bin/env bash
# Draws the pictures of the README: the real screen of a real cluster under the demo's load.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release
squall=target/release/squall
base=${1:-17400}
mkdir -p docs/pictures
"$squall" demo --base-port "$base" > /dev/null &
demo=$!
trap 'kill -INT "$demo"; wait "$demo"' EXIT
for view in overview mesh leaders; do
    "$squall" observe --connect "127.0.0.1:$base" --patience 30s --view "$view" --size 120x36 --svg "docs/pictures/$view.svg"
done
