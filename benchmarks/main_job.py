"""The main job on real input: index a folder of photos, kill it half-way, resume, search with real sketches.

    python benchmarks/main_job.py --photos DATA/caltech101 --sketches 'DATA/quickdraw/guitar.ndjson#1' \
        DATA/pacs_dev/sketch/giraffe --out results.json

Exits 1 where a photo was lost or doubled. Prints photos per second and the latency of a search inside one process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sketchfusion import Gallery, SketchFusion
from sketchfusion.errors import SketchFusionError
from sketchfusion.index.scan import scan
from sketchfusion.index.search import SearchOptions


def index_command(photos: Path, gallery: Path, preset: str) -> list[str]:
    """The command line that indexes, run by this interpreter."""
    start = "import sys; from sketchfusion.apps.cli.main import run; sys.argv[0] = 'sketchfusion'; run()"
    return [sys.executable, "-c", start, "index", str(photos), "--gallery", str(gallery), "--preset", preset, "--json"]


def kill_when_half_done(command: list[str], gallery: Path, expected: int) -> int:
    """Run the command, kill it with SIGKILL once half of the photos are in the gallery; how many are in it then."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if count_rows(gallery) >= expected // 2:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return count_rows(gallery)
        time.sleep(0.05)
    raise SystemExit(f"indexing ended by itself (exit code {process.returncode}) before it could be killed")


def count_rows(gallery: Path) -> int:
    """Photos in the gallery; 0 while there is none."""
    try:
        return Gallery.open(gallery).store.count()
    except SketchFusionError:
        return 0


def search_all(gallery: Path, sketches: list[str]) -> list[dict[str, Any]]:
    """The best three photos for every sketch, and the seconds from sketch file to result, the model being loaded."""
    opened = Gallery.open(gallery)
    model = SketchFusion.from_pretrained(opened.record.model, overrides=opened.record.overrides)
    opened.search(sketches[0], model)
    found = []
    for sketch in sketches:
        start = time.perf_counter()
        result = opened.search(sketch, model, SearchOptions(top=3))
        seconds = time.perf_counter() - start
        found.append({"sketch": "/".join(Path(sketch).parts[-2:]), "seconds": seconds, "results": [
            {"photo": "/".join(Path(hit.path).parts[-2:]), "score": hit.score} for hit in result.hits]})
    return found


def run_main_job(photos: Path, sketches: list[str], gallery: Path, preset: str) -> dict[str, Any]:
    """Index, kill, resume, index again, search; the figures. ``whole`` tells that nothing was lost or doubled."""
    expected = len(scan([photos]).files)
    command = index_command(photos, gallery, preset)
    killed_at = kill_when_half_done(command, gallery, expected)
    resumed = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    again = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    paths = list(Gallery.open(gallery).store.states())
    readable = expected - len(resumed["failures"])
    return {
        "preset": preset, "files": expected, "killed_at": killed_at, "resumed_added": resumed["added"],
        "failures": len(resumed["failures"]), "photos": len(paths),
        "photos_per_second": resumed["added"] / resumed["seconds"],
        "nothing_to_do_seconds": again["seconds"],
        "whole": len(paths) == len(set(paths)) == readable == killed_at + resumed["added"] and again["added"] == 0,
        "searches": search_all(gallery, sketches),
    }


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--sketches", nargs="+", required=True, help="files, FILE.ndjson#LINE, or folders of pictures")
    parser.add_argument("--preset", default="tiny", help="the figures in docs/performance.md are of tiny")
    parser.add_argument("--gallery", type=Path, help="where to keep the gallery; default: a temporary folder")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    sketches = [str(path) for name in options.sketches
                for path in (sorted(Path(name).iterdir())[:5] if Path(name).is_dir() else [name])]
    temporary = None if options.gallery else Path(tempfile.mkdtemp(prefix="main-job-"))
    try:
        report = run_main_job(options.photos, sketches, options.gallery or temporary / "gallery", options.preset)
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    for search in report["searches"]:
        print(f"{search['seconds']:.3f} s  {search['sketch']}")
        for hit in search["results"]:
            print(f"         {hit['score']:.4f}  {hit['photo']}")
    seconds = [search["seconds"] for search in report["searches"]]
    print(f"{report['files']:,} files; killed after {report['killed_at']:,}; {report['resumed_added']:,} added on "
          f"resuming, at {report['photos_per_second']:.1f} photos/s; {report['failures']} unreadable; "
          f"nothing lost or doubled: {report['whole']}; a run with nothing to do "
          f"{report['nothing_to_do_seconds']:.1f} s; search p50 {statistics.median(seconds):.3f} s")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if report["whole"] else 1)


if __name__ == "__main__":
    main()
