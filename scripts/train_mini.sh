#!/usr/bin/env bash
# Train the three networks of the preset `mini`, one after the other, each within its minutes, and pack the results.
#
#   scripts/train_mini.sh SHARDS OUT [VAE_MINUTES CLIP_MINUTES DIFFUSION_MINUTES]
#
# SHARDS: folder of `sketchfusion pretrain pack`. OUT gets at most 8 files of at most 15 MiB:
#   mini.tar.aa, .ab, ...          weights in half precision; join them with: cat mini.tar.* | tar x
#   logs.tar.gz, diffusion.png     logs, recipes and sample pictures of all three; samples of the last
#   SHA256SUMS
# 0 minutes leave a network as it is. Stopped by a signal, the running network is saved, and the same command goes on
# from there, so where no command may take longer than ten minutes: timeout 570 scripts/train_mini.sh ..., repeatedly.
#
# Environment: WORK (checkpoints and finished weights; default runs/mini), SUFFIX (_64: the small recipes), PYTHON,
# DEVICE, SETTINGS (added to each command, such as "--set training.compile=false").
set -euo pipefail

shards=${1:?folder of packed data}
out=${2:?folder for the results}
minutes=("${3:-5}" "${4:-6}" "${5:-12}")
repository=$(cd "$(dirname "$0")/.." && pwd)
suffix=${SUFFIX:-}
work=${WORK:-$repository/runs/mini$suffix}
export PYTHONPATH="$repository/src${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
mkdir -p "$out" "$work"

train() {  # kind, minutes, further options
    local kind=$1 limit=$2
    shift 2
    if [ "$limit" = 0 ] || [ -f "$work/$kind/finished" ]; then
        return
    fi
    echo "==> $kind, $limit minutes"
    # shellcheck disable=SC2086
    "${PYTHON:-python3}" -m sketchfusion.apps.cli.pretrain "$kind" \
        --config "$repository/configs/pretrain/$kind$suffix.yaml" --data "$shards" --out "$work/$kind" \
        --device "${DEVICE:-auto}" --max-minutes "$limit" --json "$@" ${SETTINGS:-}
    touch "$work/$kind/finished"
}

pack() {  # what there is so far: the diffusion model's folder holds the autoencoder too
    local parts=()
    rm -f "$out"/mini.tar.*
    if [ -d "$work/clip/clip" ]; then parts+=(-C "$work/clip" clip); fi
    if [ -d "$work/diffusion/diffusion" ]; then
        parts+=(-C "$work/diffusion" diffusion)
    elif [ -d "$work/vae/vae" ]; then
        parts+=(-C "$work/vae" vae)
    fi
    if [ ${#parts[@]} -gt 0 ]; then tar c "${parts[@]}" | split -b 15M - "$out/mini.tar."; fi
    (cd "$work" && find . -path '*/checkpoints' -prune -o \
        \( -name log.jsonl -o -name recipe.json -o -name final.png \) -print | tar cz -T -) > "$out/logs.tar.gz"
    cp "$work/diffusion/samples/final.png" "$out/diffusion.png" 2>/dev/null || true
    (cd "$out" && find . -maxdepth 1 -name 'mini.tar.*' | sort | xargs -r sha256sum > SHA256SUMS && ls -l)
}

trap pack EXIT
trap : INT TERM  # wait for the network that is being saved
train vae "${minutes[0]}"
train clip "${minutes[1]}"
train diffusion "${minutes[2]}" --set "vae=$work/vae/vae" --set "clip=$work/clip/clip"
