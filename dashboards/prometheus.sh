#!/usr/bin/env bash
# Starts Prometheus on loopback, scraping a local cluster of three. Ends with ctrl-c; what it has seen is gone then.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
image="prom/prometheus:v3.7.3"
echo "Prometheus: http://127.0.0.1:9090   (scrapes 127.0.0.1:7401, 7411 and 7421: dashboards/prometheus/prometheus.yml)"
if command -v prometheus >/dev/null; then
    data=$(mktemp -d)
    trap 'rm -rf "$data"' EXIT
    prometheus --config.file="$here/prometheus/prometheus.yml" --storage.tsdb.path="$data" \
        --web.listen-address=127.0.0.1:9090 --log.level=warn
    exit
fi
for engine in docker podman; do
    if command -v "$engine" >/dev/null; then
        # Of the host's network: the nodes listen on its loopback.
        exec "$engine" run --rm --network=host -v "$here/prometheus:/etc/prometheus:ro" "$image" \
            --config.file=/etc/prometheus/prometheus.yml --web.listen-address=127.0.0.1:9090
    fi
done
echo "prometheus: neither a 'prometheus' binary nor docker or podman is on PATH; Debian has it (apt-get install prometheus)" >&2
exit 2
