# Squall's recipes, one line each. `just` alone lists them.

# list the recipes
default:
    @just --list

# three nodes, load and the observer
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# a local cluster that stays until ctrl-c
up *ARGS:
    cargo run --release -- up -n 3 --chaos {{ARGS}}

# watch the local cluster
observe *ARGS:
    cargo run --release -- observe --chaos {{ARGS}}

# kill a node of the local cluster; it comes back after 30 s
kill NODE *ARGS:
    cargo run --release -- chaos kill {{NODE}} {{ARGS}}

# lose a share (such as 5%) of what one node sends to another, for 30 s
loss FROM TO SHARE *ARGS:
    cargo run --release -- chaos loss {{FROM}} {{TO}} {{SHARE}} {{ARGS}}

# delay frames from one node to another, for 30 s
delay FROM TO DELAY *ARGS:
    cargo run --release -- chaos delay {{FROM}} {{TO}} {{DELAY}} {{ARGS}}

# any chaos command: just chaos cut a b --ttl 10s
chaos *ARGS:
    cargo run --release -- chaos {{ARGS}}

# simulated clusters with faults, fresh seeds: just sim --seeds 1000
sim *ARGS="--tier both --minutes 2":
    cargo run --release -- chaos sim {{ARGS}}

# the corpus, fixed seeds, and every planted bug
sim-test *ARGS:
    cargo test --config .ci/sim.toml -p squall-chaos --features planted --test simulator --test planted --test watched {{ARGS}}

# the bugs planted in the queue of tasks
tasks-test *ARGS:
    cargo test -p squall-kernel --features planted --test tasks_planted {{ARGS}}

# Jaeger: a `jaeger` on PATH, else the container image; then run a cluster with --otlp http://127.0.0.1:4317
jaeger:
    @bash dashboards/jaeger.sh

# an example: WebSocket clients of an exchange (examples/gateway/README.md)
gateway *ARGS:
    cargo run --release -p squall-gateway -- {{ARGS}}

# the tests
test *ARGS:
    cargo test --workspace {{ARGS}}

# format, lints, docs and dependency policy
lint:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps && cargo deny check bans licenses sources

# request rates, local and over three nodes, and failover times
bench *ARGS:
    cargo run --release -- bench {{ARGS}}

# draw the pictures of the documents from the real program
pictures:
    bash docs/pictures.sh
