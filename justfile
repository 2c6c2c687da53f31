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

# an experiment on a cluster of its own, with a verdict and a report: just chaos kill-owner
chaos *SCENARIO:
    cargo run --release -- chaos run {{SCENARIO}}

# random faults with a score: just game --for 5m
game *ARGS:
    cargo run --release -- chaos game {{ARGS}}

# any fault on the local cluster: just fault "delay 80ms" "owner(orders) <-> rest"
fault FAULT TARGET *ARGS:
    cargo run --release -- chaos fire "{{FAULT}}" "{{TARGET}}" {{ARGS}}

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

# Prometheus, scraping a local cluster of three: a `prometheus` on PATH, else the container image
prometheus:
    @bash dashboards/prometheus.sh

# Grafana with the dashboards, beside `just prometheus`: a `grafana` on PATH, else the container image
grafana:
    @bash dashboards/grafana.sh

# Jaeger, Prometheus, Grafana and a collector at once, with docker compose or podman compose
observability:
    @bash dashboards/observability.sh

# an example: WebSocket clients of an exchange (examples/gateway/README.md)
gateway *ARGS:
    cargo run --release -p squall-gateway -- {{ARGS}}

# the tests
test *ARGS:
    cargo test --workspace {{ARGS}}

# format, lints, docs and dependency policy
lint:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps && cargo deny check bans licenses sources

# rates and latencies of requests, publishes and tasks, failover times, memory, growth: just bench lists them
bench *ARGS:
    cargo run --release -- bench {{ARGS}}

# requests, publishes and tasks beside those of Erlang, NATS and RabbitMQ that are installed, in turn
peers *ARGS:
    cargo run --release --features peers -- bench peers {{ARGS}}

# what single steps cost: routing, frames, keys, leases, the registry, mailboxes
micro *ARGS:
    cargo bench --workspace --bench kernel --bench mailbox -- {{ARGS}}

# draw the pictures of the documents from the real program
pictures:
    bash docs/pictures.sh
