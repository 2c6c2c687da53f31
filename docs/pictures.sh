#!/usr/bin/env bash
# Draws the pictures of the documents: the real screen of a real cluster under the demo's load. Nothing else may use the ports
# from the first argument on (17400), or the one below it, where traces go.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release
squall=target/release/squall
base=${1:-17400}
traces=127.0.0.1:$((base - 1))
export SQUALL_CONNECT=127.0.0.1:$base
mkdir -p docs/pictures

"$squall" demo --base-port "$base" --otlp "http://$traces" > /dev/null &
demo=$!
trap 'kill -INT "$demo"; wait "$demo"' EXIT

draw() { # NAME ARGUMENTS...
    local name=$1
    shift
    "$squall" observe --patience 30s --size 120x36 --svg "docs/pictures/$name.svg" "$@"
}

draw overview --view overview
draw mesh --view mesh
draw exchanges --view exchanges
draw why --view exchanges --detail orders
draw leaders --view leaders
draw processes --view processes
draw registry --view registry
draw traces --view traces --otlp-listen "$traces"

# Faults that act, and a node that was killed: what it owned goes to others.
"$squall" chaos delay b c 20ms --ttl 30s
"$squall" chaos loss c b 2% --ttl 30s
draw chaos --view chaos --chaos
"$squall" chaos halt
"$squall" chaos kill b --ttl 2s
draw timeline --view timeline
