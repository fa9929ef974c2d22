#!/usr/bin/env bash
# The logs of the runs that made `mini`, without the lines between: what docs/mini.md's learning curves are read from.
#
#   scripts/collect_logs.sh runs/mini_64 benchmarks/results/mini_logs
set -euo pipefail
mkdir -p "${2:?}"
for log in "${1:?}"/*/log.jsonl; do
    grep -v '"event": "saved"' "$log" | awk '/"event"/ || NR % 10 == 0' > "$2/$(basename "$(dirname "$log")").jsonl"
done
wc -l "$2"/*.jsonl
