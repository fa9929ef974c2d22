#!/usr/bin/env bash
# Put the trained parts of `mini` into the package, in place of those that are there.
#
#   scripts/ship_mini.sh backbones DIFFUSION CLIP    folders of `sketchfusion pretrain diffusion` and `... clip`
#   scripts/ship_mini.sh fusion FOLDER               folder of `sketchfusion train configs/train/mini_64.yaml`
#
# A fusion belongs to its backbones: ship these first, train the fusion with `model: mini`, then ship it.
set -euo pipefail
target=$(cd "$(dirname "$0")/.." && pwd)/src/sketchfusion/weights/mini
put() { rm -rf "${target:?}/$2"; cp -r "$1" "$target/$2"; }
mkdir -p "$target"
case ${1:-} in
    backbones) put "${2:?}" diffusion; put "${3:?}" clip ;;
    fusion) put "${2:?}" fusion ;;
    *) sed -n 's/^# \{0,1\}//p' "$0" | head -n 6; exit 2 ;;
esac
du -sh "$target"/*
