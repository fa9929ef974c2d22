#!/usr/bin/env bash
# Train what docs/mini.md compares, all alike: the same data, batches of the same number of pictures, the same steps.
#
#   scripts/compare_fusions.sh SHARDS OUT [SEEDS]      default seeds: "0 1 2 3 4"
#
# The fused features and three baselines without injection (B-CLIP, B-SD, B-SD+CLIP), each on all tasks together, for every
# seed; B-Finetuning, whose backbones learn too, for the first three; and the fused features on one task at a time, for the
# first seed. What is there already is left alone, so several of these may run beside each other on one OUT, each with other
# seeds. benchmarks/tasks.py judges them.
#
# Environment: PYTHON; RECIPE (default configs/train/mini_64.yaml); STEPS (220); BATCH (32).
set -euo pipefail
shards=${1:?folder of packed data}
out=${2:?folder for the fusions}
read -ra seeds <<< "${3:-0 1 2 3 4}"
repository=$(cd "$(dirname "$0")/.." && pwd)
tasks=(category fine_grained recognition correspondence segmentation)

train() {  # name, seed, settings of the model as JSON, further overrides
    local name=$1 seed=$2 settings=$3
    shift 3
    if [ -d "$out/$name-$seed/fusion" ]; then return; fi
    echo "==> $name, seed $seed"
    "${PYTHON:-python3}" -m sketchfusion.apps.cli.main train "${RECIPE:-$repository/configs/train/mini_64.yaml}" \
        --data "$shards" --out "$out/$name-$seed" --json --set "cache=$out/encoded" --set "seed=$seed" \
        --set "training.batch_size=${BATCH:-32}" --set "training.steps=${STEPS:-220}" --set training.evaluated=100 \
        --set "settings=$settings" "$@"
}

for seed in "${seeds[@]}"; do
    train fused "$seed" '["diffusion.max_batch=128"]'
    train bsdclip "$seed" '["diffusion.max_batch=128", "injection.blocks=[]", "aggregation.taps=[up1, up2, up3, patches]"]'
    train bsd "$seed" '["diffusion.max_batch=128", "injection.blocks=[]"]'
    train bclip "$seed" '["diffusion.max_batch=128", "injection.blocks=[]", "aggregation.taps=[patches]"]'
done
for seed in "${seeds[@]:0:3}"; do
    train finetuning "$seed" '["diffusion.max_batch=128", "finetune=true", "injection.blocks=[]", "aggregation.taps=[up1, up2, up3, patches]"]' \
        --set training.lr=1.0e-4
done
for task in "${tasks[@]}"; do
    others=()
    for other in "${tasks[@]}"; do
        if [ "$other" != "$task" ]; then others+=(--set "tasks.$other.weight=0"); fi
    done
    train "only-$task" "${seeds[0]}" '["diffusion.max_batch=128"]' "${others[@]}"
done
