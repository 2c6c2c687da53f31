#!/usr/bin/env bash
# Starts Grafana on loopback with the dashboards, for a Prometheus on 127.0.0.1:9090 (and a Jaeger on 16686). Ends with ctrl-c.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
image="grafana/grafana:12.2.1"
echo "Grafana: http://127.0.0.1:3000   (asks the Prometheus of 'just prometheus' and the Jaeger of 'just jaeger')"
if command -v grafana >/dev/null; then
    data=$(mktemp -d)
    trap 'rm -rf "$data"' EXIT
    set -a
    . "$here/grafana/grafana.env"
    SQUALL_DASHBOARDS="$here/grafana"
    GF_PATHS_PROVISIONING="$here/grafana/provisioning"
    GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH="$here/grafana/squall-cluster.json"
    GF_PATHS_DATA="$data"
    GF_PATHS_LOGS="$data"
    set +a
    grafana server --homepath "${GRAFANA_HOME:-/usr/share/grafana}"
    exit
fi
for engine in docker podman; do
    if command -v "$engine" >/dev/null; then
        # Of the host's network, for there its data sources are.
        exec "$engine" run --rm --network=host --env-file "$here/grafana/grafana.env" \
            -e SQUALL_DASHBOARDS=/etc/squall/grafana -e GF_PATHS_PROVISIONING=/etc/squall/grafana/provisioning \
            -e GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH=/etc/squall/grafana/squall-cluster.json \
            -v "$here/grafana:/etc/squall/grafana:ro,z" "$image"
    fi
done
echo "grafana: neither a 'grafana' binary nor docker or podman is on PATH; get one from https://grafana.com/grafana/download" >&2
exit 2
