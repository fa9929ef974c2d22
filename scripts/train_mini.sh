#!/usr/bin/env bash
# Train the three networks of the preset `mini` and its fusion, one after the other, each within its minutes, and pack
# the results.
#
#   scripts/train_mini.sh SHARDS OUT [VAE_MINUTES CLIP_MINUTES DIFFUSION_MINUTES FUSION_MINUTES]
#
# SHARDS: folder of `sketchfusion pretrain pack`. OUT gets at most 8 files of at most 15 MiB:
#   mini.tar.aa, .ab, ...          weights in half precision; join them with: cat mini.tar.* | tar x
#   logs.tar.gz, diffusion.png     logs, recipes and sample pictures of all; samples of the diffusion model
#   SHA256SUMS
# 0 minutes leave a network as it is. Stopped by a signal, the running network is saved, and the same command goes on
# from there, so where no command may take longer than ten minutes: timeout 570 scripts/train_mini.sh ..., repeatedly.
#
# Environment: WORK (checkpoints and finished weights; default runs/mini), SUFFIX (_64: the small recipes), PYTHON,
# DEVICE, SETTINGS (added to each command, such as "--set training.compile=false").
set -euo pipefail

shards=${1:?folder of packed data}
out=${2:?folder for the results}
minutes=("${3:-5}" "${4:-6}" "${5:-12}" "${6:-4}")
repository=$(cd "$(dirname "$0")/.." && pwd)
suffix=${SUFFIX:-}
work=${WORK:-$repository/runs/mini$suffix}
export PYTHONPATH="$repository/src${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
mkdir -p "$out" "$work"

train() {  # kind, minutes, what to run with its recipe
    local kind=$1 limit=$2
    shift 2
    if [ "$limit" = 0 ] || [ -f "$work/$kind/finished" ]; then
        return
    fi
    echo "==> $kind, $limit minutes"
    # shellcheck disable=SC2086
    "${PYTHON:-python3}" -m sketchfusion.apps.cli.main "$@" --data "$shards" --out "$work/$kind" \
        --device "${DEVICE:-auto}" --max-minutes "$limit" --json ${SETTINGS:-}
    touch "$work/$kind/finished"
}

pack() {  # what there is so far: the diffusion model's folder holds the autoencoder too
    local parts=()
    rm -f "$out"/mini.tar.*
    if [ -d "$work/clip/clip" ]; then parts+=(-C "$work/clip" clip); fi
    if [ -d "$work/fusion/fusion" ]; then parts+=(-C "$work/fusion" fusion); fi
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
recipes=$repository/configs
train vae "${minutes[0]}" pretrain vae --config "$recipes/pretrain/vae$suffix.yaml"
train clip "${minutes[1]}" pretrain clip --config "$recipes/pretrain/clip$suffix.yaml"
train diffusion "${minutes[2]}" pretrain diffusion --config "$recipes/pretrain/diffusion$suffix.yaml" \
    --set "vae=$work/vae/vae" --set "clip=$work/clip/clip"
train fusion "${minutes[3]}" train "$recipes/train/mini$suffix.yaml" --set "model=$recipes/mini${suffix:-_128}.yaml" \
    --set "settings=[diffusion.max_batch=256, diffusion.source=$work/diffusion/diffusion, encoder.source=$work/clip/clip]"
