"""How fast and how steadily `sketchfusion serve` answers: 50 searches at once, the wait after a stroke, memory.

    python benchmarks/serve.py --gallery runs/serve/gallery --make 10000 --photos DATA/caltech101 \
        --drawings DATA/quickdraw --out benchmarks/results/serve.json

Without --make the gallery must be there. With it, it is made of the photos, and of pictures of the drawn world where
they are too few. Drawings are Quick, Draw! files, or else of the drawn world; no two are alike. The server is a process
of its own, asked over the network as the page asks it, from this process on the same cores. Exits 1 where a goal is
missed. Needs httpx and psutil, which the extra `dev` brings.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import torch
from measuring import machine
from rich.console import Console
from rich.table import Table
from serve_parts import (
    Body,
    Visitor,
    first_gallery,
    growth,
    make_gallery,
    page_number,
    picture_of,
    quantiles,
    read_drawings,
    serving,
    strokes_of,
    varied,
)

MIB = 2**20
FIRST_RESULT_S = 1.0  # the goals: from the last stroke to the first photo, half of all times
FLAT_MIB = 10.0  # growth per 1,000 requests
PER_DRAWING = 5  # requests, see ``Visitor.explain``
AT_ONCE = 50
LEAVING = 40  # clients that ask and go away


async def measure_wait(address: str, gallery: str, bodies: Sequence[Body]) -> dict[str, Any]:
    """One person draws, as often as there are drawings: milliseconds until each step is done, without the pause."""
    top = page_number("TOP")
    async with Visitor(address, gallery) as visitor:
        for body in bodies[:5]:
            await visitor.draw(body, top)
        seen = [await visitor.draw(body, top) for body in bodies[5:]]
    steps = {name: quantiles([step[name] for step in seen]) for name in seen[0]}
    return {"drawings": len(seen), "ms": steps, "errors": visitor.errors}


async def measure_searches(address: str, gallery: str, bodies: Sequence[Body], *, rounds: int) -> dict[str, Any]:
    """``AT_ONCE`` people search at the same moment, each a drawing of their own that the server has not seen."""
    sent, searched, errors = [], [], []
    visitors = [Visitor(address, gallery) for _ in range(AT_ONCE)]
    begun = time.perf_counter()
    busy = 0.0
    for turn in range(rounds):
        own = list(zip(visitors, bodies[turn * AT_ONCE:], strict=False))
        times = await asyncio.gather(*(timed(visitor.send(body)) for visitor, body in own))
        sent += [seconds for seconds, _ in times]
        start = time.perf_counter()
        asked = await asyncio.gather(*(timed(visitor.search(sketch, page_number("TOP")))
                                       for (visitor, _), (_, sketch) in zip(own, times, strict=True)))
        busy += time.perf_counter() - start
        searched += [seconds for seconds, _ in asked]
    for visitor in visitors:
        errors += visitor.errors
        await visitor.close()
    return {"at_once": AT_ONCE, "rounds": rounds, "searches": len(searched), "errors": errors,
            "send_ms": quantiles(sent), "search_ms": quantiles(searched),
            "searches_per_s": round(len(searched) / busy, 1), "seconds": round(time.perf_counter() - begun, 1)}


async def measure_pages(address: str, gallery: str, bodies: Sequence[Body]) -> dict[str, Any]:
    """The same with all that a page asks for: the sketch's name and every photo that it shows."""
    visitors = [Visitor(address, gallery) for _ in range(AT_ONCE)]
    seen = await asyncio.gather(*(visitor.draw(body, page_number("TOP"))
                                  for visitor, body in zip(visitors, bodies, strict=False)))
    errors = [error for visitor in visitors for error in visitor.errors]
    for visitor in visitors:
        await visitor.close()
    return {"at_once": AT_ONCE, "ms": {name: quantiles([step[name] for step in seen]) for name in seen[0]},
            "errors": errors}


async def measure_leaving(address: str, gallery: str, bodies: Sequence[Body]) -> dict[str, Any]:
    """Many ask and go away at once; milliseconds of the search of one who asks right after them, and alone."""
    found: dict[str, Any] = {"left": LEAVING}
    async with Visitor(address, gallery) as stays:
        found["alone_ms"] = round(1000 * (await timed(stays.draw(bodies[-2], 1)))[0], 1)
        visitors = [Visitor(address, gallery) for _ in range(LEAVING)]
        sketches = [await visitor.send(body) for visitor, body in zip(visitors, bodies, strict=False)]
        asked = [asyncio.create_task(visitor.search(sketch, 1))
                 for visitor, sketch in zip(visitors, sketches, strict=True)]
        await asyncio.sleep(0.02)
        for task in asked:
            task.cancel()
        for visitor in visitors:
            await visitor.close()
        found["after_ms"] = round(1000 * (await timed(stays.draw(bodies[-1], 1)))[0], 1)
        found["errors"] = stays.errors
    return found


async def measure_memory(address: str, gallery: str, bodies: Sequence[Body], process: psutil.Process, *,
                         warm_up: int, every: int, started_mib: float) -> dict[str, Any]:
    """Resident memory while drawing after drawing is sent, searched, named and explained, four at a time."""
    visitors = [Visitor(address, gallery) for _ in range(4)]
    waiting = iter(bodies)

    async def go_on(visitor: Visitor, some: Iterator[Body]) -> None:
        for body in some:  # shared by all visitors: each takes the next one
            await visitor.explain(body)

    async def all_go_on(count: int) -> float:
        some = islice(waiting, count)
        await asyncio.gather(*(go_on(visitor, some) for visitor in visitors))
        return round(process.memory_info().rss / MIB, 1)

    start = time.perf_counter()
    samples = [(0, await all_go_on(warm_up))]
    for done in range(every, len(bodies) - warm_up + 1, every):
        samples.append((PER_DRAWING * done, await all_go_on(every)))
    seconds = time.perf_counter() - start
    errors = [error for visitor in visitors for error in visitor.errors]
    requests = sum(visitor.requests for visitor in visitors)
    for visitor in visitors:
        await visitor.close()
    return {"start_mib": started_mib, "warm_up_requests": PER_DRAWING * warm_up, "requests": requests,
            "rss_mib": {str(done): size for done, size in samples}, "mib_per_1000": growth(samples),
            "drawings_per_s": round(len(bodies) / seconds, 1), "errors": errors}


async def timed(work: Any) -> tuple[float, Any]:
    """Seconds, and what the work gives."""
    start = time.perf_counter()
    result = await work
    return time.perf_counter() - start, result


async def measure(address: str, process: psutil.Process, drawings: Sequence[Any], options: argparse.Namespace
                  ) -> dict[str, Any]:
    """All of it, on one server."""
    started_mib = round(process.memory_info().rss / MIB, 1)
    gallery, facts = await first_gallery(address)
    fresh = iter(drawings)
    pictures, strokes = ([make(next(fresh)) for _ in range(options.drawn + 5)] for make in (picture_of, strokes_of))
    searched = [picture_of(next(fresh)) for _ in range(AT_ONCE * options.rounds)]
    paged, left = ([picture_of(next(fresh)) for _ in range(AT_ONCE)] for _ in range(2))
    flood = [picture_of(next(fresh)) for _ in range(options.warm_up + options.searches)]
    report: dict[str, Any] = {
        "photos": facts["photos"], "model": facts["model"], "pause_ms": page_number("STILL"),
        "wait": {"picture": await measure_wait(address, gallery, pictures),
                 "strokes": await measure_wait(address, gallery, strokes)},
        "searches": await measure_searches(address, gallery, searched, rounds=options.rounds),
        "pages": await measure_pages(address, gallery, paged),
        "leaving": await measure_leaving(address, gallery, left)}
    report["memory"] = await measure_memory(address, gallery, flood, process, warm_up=options.warm_up,
                                            every=options.every, started_mib=started_mib)
    return report


def goals(report: dict[str, Any]) -> dict[str, bool]:
    """What is asked of the server, and whether it holds."""
    waits = [(ms["first photo"]["p50"] + report["pause_ms"]) / 1000
             for ms in (way["ms"] for way in report["wait"].values())]
    return {f"{AT_ONCE} searches at once without an error": not report["searches"]["errors"],
            f"{AT_ONCE} whole pages at once without an error": not report["pages"]["errors"],
            f"first photo within {FIRST_RESULT_S:g} s of the last stroke (p50, with the page's pause)":
                max(waits) <= FIRST_RESULT_S,
            f"memory grows by less than {FLAT_MIB:g} MiB per 1,000 requests":
                abs(report["memory"]["mib_per_1000"]) < FLAT_MIB and not report["memory"]["errors"]}


def show(report: dict[str, Any], console: Console) -> None:
    """Print it as tables."""
    table = Table("milliseconds", "n", "p50", "p95", "most", title=f"{report['photos']:,} photos, {report['model']}")

    def row(name: str, count: int, values: dict[str, float]) -> None:
        table.add_row(name, str(count), *(f"{values[key]:,.0f}" for key in ("p50", "p95", "most")))

    for way, found in report["wait"].items():
        for step, values in found["ms"].items():
            row(f"one person, {way}: {step}", found["drawings"], values)
        first = found["ms"]["first photo"]
        row(f"one person, {way}: first photo, with the pause of {report['pause_ms']} ms", found["drawings"],
            {key: value + report["pause_ms"] for key, value in first.items()})
    searches, pages = report["searches"], report["pages"]
    row(f"{AT_ONCE} at once: send the sketch", searches["searches"], searches["send_ms"])
    row(f"{AT_ONCE} at once: search", searches["searches"], searches["search_ms"])
    for step, values in pages["ms"].items():
        row(f"{AT_ONCE} whole pages at once: {step}", pages["at_once"], values)
    console.print(table)
    memory = report["memory"]
    sizes = Table("requests", "MiB", title="resident memory of the server")
    sizes.add_row("start", f"{memory['start_mib']:,.0f}")
    for done, size in memory["rss_mib"].items():
        sizes.add_row("after warm-up" if done == "0" else done, f"{size:,.0f}")
    console.print(sizes)
    leaving = report["leaving"]
    console.print(f"{searches['searches_per_s']} searches/s at once; memory {memory['mib_per_1000']:+.2f} MiB per "
                  f"1,000 requests, {memory['requests']:,} in all; {memory['drawings_per_s']} drawings/s; "
                  f"a search {leaving['alone_ms']:.0f} ms alone, {leaving['after_ms']:.0f} ms after {leaving['left']} "
                  "clients that left")
    for name in ("searches", "pages", "leaving", "memory"):
        if report[name]["errors"]:
            console.print(f"{len(report[name]['errors'])} errors of {name}: {report[name]['errors'][:3]}", markup=False)
    for goal, held in report["goals"].items():
        console.print(f"{'yes' if held else 'NO '}  {goal}")


def main() -> None:
    """Parse, make what is missing, serve, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--make", type=int, metavar="N", help="make the gallery, of so many photos, unless it is there")
    parser.add_argument("--photos", type=Path, help="folder of photos for --make")
    parser.add_argument("--preset", default="mini", help="of the gallery that is made")
    parser.add_argument("--drawings", type=Path, help="folder of Quick, Draw! files; default: the drawn world")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--drawn", type=int, default=100, help="drawings of one person, as pictures and as strokes")
    parser.add_argument("--rounds", type=int, default=5, help=f"of {AT_ONCE} searches at once")
    parser.add_argument("--warm-up", type=int, default=600, help="drawings before memory counts: more than are kept")
    parser.add_argument("--searches", type=int, default=400, help="drawings over which memory is watched, each of "
                        f"{PER_DRAWING} requests")
    parser.add_argument("--every", type=int, default=50, help="drawings from one look at the memory to the next")
    options = parser.parse_args()
    if options.make:
        make_gallery(options.gallery, options.make, options.photos, options.preset)
    needed = (2 * (options.drawn + 5) + AT_ONCE * (options.rounds + 2) + options.warm_up + options.searches)
    drawings = varied(read_drawings(options.drawings), needed)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home, serving(options.gallery, Path(home)) as (address, process):
        report = asyncio.run(measure(address, process, drawings, options))
    report = {"machine": {**machine(torch.device("cpu")), "load_before": round(load, 2)}, **report}
    report["goals"] = goals(report)
    show(report, Console())
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(report["goals"].values()) else 1)


if __name__ == "__main__":
    main()
