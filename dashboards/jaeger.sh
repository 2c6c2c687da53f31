#!/usr/bin/env bash
# Starts Jaeger with its OTLP port on loopback and prints its addresses. Ends with ctrl-c.
set -euo pipefail
image="jaegertracing/jaeger:2.11.0"
echo "Jaeger's pages:  http://127.0.0.1:16686"
echo "OTLP over gRPC:  http://127.0.0.1:4317   (squall up --otlp http://127.0.0.1:4317)"
if command -v jaeger >/dev/null; then
    exec jaeger
elif command -v jaeger-all-in-one >/dev/null; then
    exec jaeger-all-in-one
fi
for engine in docker podman; do
    if command -v "$engine" >/dev/null; then
        exec "$engine" run --rm -p 127.0.0.1:16686:16686 -p 127.0.0.1:4317:4317 "$image"
    fi
done
echo "jaeger: neither a 'jaeger' binary nor docker or podman is on PATH; get one from https://www.jaegertracing.io/download/" >&2
exit 2
