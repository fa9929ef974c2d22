#!/usr/bin/env bash
# The main job from nothing: pictures, a gallery, three searches by sketch, and pictures of what was found, named, matched
# and cut out.
set -euo pipefail
echo "This demo runs on the preset ${PRESET:-mini (the default: small, trained, inside the package)}."
GALLERY="$DEMO/gallery-$(basename "$PHOTOS")-${PRESET:-default}"  # one for each folder and preset
run() { printf '\n\033[1m$ sketchfusion %s\033[0m\n' "$*"; "$VENV/bin/sketchfusion" "$@"; }

if [ ! -f "$DEMO/world/annotations.jsonl" ]; then
    echo "==> drawing a small world: photo-like renders and freehand-like sketches of the same things"
    run data make-world "$DEMO/world" --photos-per-class 15 --sketches-per-photo 1 --size 128 --seed 0
fi

echo; echo "==> indexing $PHOTOS (run again: only what changed is looked at)"
rebuild=  # of a gallery that an earlier version made
if [ -d "$GALLERY" ] && ! "$VENV/bin/sketchfusion" gallery info "$GALLERY" >/dev/null 2>&1; then rebuild=--rebuild; fi
run index "$PHOTOS" --gallery "$GALLERY" ${PRESET:+--preset "$PRESET"} $rebuild

for class in lighthouse guitar cat; do
    sketch=$(find "$DEMO/world/sketch/$class" -name '*.png' | sort | head -n 1)
    echo; echo "==> searching with a sketch of a $class"
    run search "$sketch" --gallery "$GALLERY" --top 8 --sheet "$DEMO/found-$class.png"
done

sketch=$DEMO/world/sketch/lighthouse/lighthouse_00003_0.png
photos=("$DEMO/world/photo/lighthouse/lighthouse_00003.png" "$DEMO/world/photo/lighthouse/lighthouse_00007.png")
if [ -z "$PRESET" ]; then  # other presets may have no classes to tell apart
    echo; echo "==> what do sketches show?"
    run classify "$sketch" "$DEMO/world/sketch/guitar/guitar_00003_0.png" "$DEMO/world/sketch/cat/cat_00003_0.png" \
        --top 3 --picture "$DEMO/named.png"
fi
echo; echo "==> where are the points of a sketch in photos, the one that was drawn and another?"
run match "$sketch" "${photos[@]}" --points 8 --picture "$DEMO/matched.png"
echo; echo "==> cutting out what was drawn"
run segment "$sketch" "${photos[@]}" --masks "$DEMO/masks" --picture "$DEMO/cut-out.png"

echo
echo "Pictures of the results: $DEMO/found-lighthouse.png, found-guitar.png, found-cat.png, $([ -n "$PRESET" ] || echo "named.png, ")matched.png, cut-out.png"
run gallery info "$GALLERY"

if [ -t 1 ]; then
    echo; echo "==> the page: draw and find in the browser (Ctrl-C stops it)"
    run serve --gallery "$GALLERY" --port "${PORT:-7861}"
fi
