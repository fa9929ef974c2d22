#!/usr/bin/env bash
# Makes the pictures of docs/tour.md anew, in docs/images/: bash scripts/tour_pictures.sh. Run it when the preset mini changes.
set -euo pipefail
images="$(cd "$(dirname "$0")/.." && pwd)/docs/images"
sketchfusion="${SKETCHFUSION:-$images/../../.venv/bin/sketchfusion}"
cd "$(mktemp -d)"
sketches=world/sketch photos=world/photo

"$sketchfusion" data make-world world --classes "bicycle, cat, guitar, house, lighthouse, teapot" --photos-per-class 10 --seed 0
"$sketchfusion" index $photos --gallery my.gallery
"$sketchfusion" search $sketches/lighthouse/lighthouse_00003_0.png --gallery my.gallery --top 8 --sheet "$images/tour_search.jpg"
"$sketchfusion" classify $sketches/lighthouse/lighthouse_00003_0.png $sketches/guitar/guitar_00003_0.png \
    $sketches/cat/cat_00003_0.png --top 3 --picture "$images/tour_classify.png"
"$sketchfusion" match $sketches/teapot/teapot_00003_0.png $photos/teapot/teapot_00003.png $photos/teapot/teapot_00007.png \
    --points 8 --picture "$images/tour_match.jpg"
"$sketchfusion" segment $sketches/teapot/teapot_00003_0.png $photos/teapot/teapot_00003.png $photos/teapot/teapot_00007.png \
    --picture "$images/tour_segment.jpg"
