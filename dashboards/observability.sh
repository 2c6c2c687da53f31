#!/usr/bin/env bash
# Starts Jaeger, Prometheus, Grafana and a collector on loopback, set up for a local cluster. Ends with ctrl-c, and leaves nothing.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
for engine in docker podman; do
    if command -v "$engine" >/dev/null && "$engine" compose version >/dev/null 2>&1; then
        echo "Grafana:    http://127.0.0.1:3000"
        echo "Prometheus: http://127.0.0.1:9090   (scrapes 127.0.0.1:7401, 7411 and 7421)"
        echo "Jaeger:     http://127.0.0.1:16686"
        echo "OTLP:       http://127.0.0.1:4317   (traces: squall up -n 3 --otlp http://127.0.0.1:4317)"
        trap '"$engine" compose -f "$here/compose.yml" down --volumes' EXIT
        "$engine" compose -f "$here/compose.yml" up
        exit
    fi
done
echo "observability: neither 'docker compose' nor 'podman compose' works here; 'just prometheus', 'just jaeger' and 'just grafana' start each of them by itself" >&2
exit 2
