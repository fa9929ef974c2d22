"""Speed and memory of the extractor against the released procedure, in one run and on the same noise.

    python benchmarks/extraction.py                                  # SD 2.1 and ViT-L/14-336 at real shapes
    python benchmarks/extraction.py --architecture tiny-sd           # seconds, for trying it out
    python benchmarks/extraction.py --check-last-tap                 # operations alone, nothing is computed

The weights are random and built in memory: speed does not depend on their values. Both sides run the settings of
configs/official_code.yaml with the same weights; the run ends with status 1 if their features differ.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from extraction_parts import Bench, build, our_stages, released_stages, with_samples
from measuring import (
    Spent,
    busy_seconds,
    count_flops,
    flops_by_module,
    machine,
    matrix_rate,
    median,
    peak_memory,
    relative_error,
    time_stages,
    timed,
    weight_bytes,
)
from rich.console import Console
from rich.table import Table

from sketchfusion.backbones.random_weights import build_part, load_architecture
from sketchfusion.backbones.unet import named_blocks
from sketchfusion.fusion.checkpoint import DTYPES, choose_device, place

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 5e-2}
KEY = "benchmark"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 if the two sides' features differ, or work is done after the last tap."""
    options = parse(arguments)
    console = Console(width=120)
    if options.check_last_tap:
        return check_last_tap(options, console)
    device, dtype = choose_device(options.device), DTYPES[options.dtype]
    torch.manual_seed(0)
    result: dict[str, Any] = {"command": command(options), "machine": machine(device), "dtype": options.dtype,
                              "load_before": os.getloadavg()[0]}
    rate = matrix_rate(device, dtype, options.matrix_side)
    result["matrix_gflop_per_s"] = rate / 1e9
    result["gflop_by_part"] = flops_by_part(options)
    measure(options, device, result)
    result["load_after"] = os.getloadavg()[0]
    summarise(result, options.samples, device)
    show(result, console)
    if options.out:
        Path(options.out).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if result["relative_error"] <= TOLERANCE[dtype] else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; ``None`` reads it from the process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--architecture", default="sd21", help="packaged diffusion architecture (default: sd21)")
    parser.add_argument("--encoder", help="packaged patch encoder; default: the one that goes with the architecture")
    parser.add_argument("--samples", type=int, default=32, help="noise samples, and the released procedure's copies")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=sorted(DTYPES))
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each; one where a run takes long")
    parser.add_argument("--max-batch", type=int, help="rows that pass our UNet together; default: the configuration's")
    parser.add_argument("--matrix-side", type=int, nargs="+", default=[2048, 4096],
                        help="sides of the square matrices whose product gives the machine's rate")
    parser.add_argument("--out", help="JSON file for the figures")
    parser.add_argument("--check-last-tap", action="store_true",
                        help="only count the UNet's operations against the sum of its blocks up to the last tap")
    return parser.parse_args(arguments)


def command(options: argparse.Namespace) -> str:
    """The command line that gives this run again."""
    parts = [f"--{name.replace('_', '-')} {value}" for name, value in vars(options).items()
             if value not in (None, False) and name not in ("out", "matrix_side")]
    return " ".join(["python benchmarks/extraction.py", *parts])


def flops_by_part(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """GFLOP per image of each part of each run, counted on shapes alone."""
    bench = build(options.architecture, options.encoder, max_batch=options.max_batch, device="meta")
    image = torch.empty(bench.image_shape, device="meta")
    draws = torch.empty(options.samples, *bench.latent_shape, device="meta")
    with_samples(bench.model, options.samples)
    counts = {"released": count_flops(released_stages(bench.procedure(), draws, draws), image),
              "ours": count_flops(our_stages(bench.model, KEY), image)}
    with_samples(bench.model, 1)
    counts["ours_1"] = count_flops(our_stages(bench.model, KEY), image)
    return {run: {part: flops / 1e9 for part, flops in parts.items()} for run, parts in counts.items()}


def measure(options: argparse.Namespace, device: torch.device, result: dict[str, Any]) -> None:
    """Time ours at one sample, ours at all, then the released procedure; the memory peaks grow in that order."""
    bench = build(options.architecture, options.encoder, max_batch=options.max_batch)
    model = place(bench.model, device=str(device), dtype=options.dtype, compiled=False)
    image = torch.rand(bench.image_shape).to(device)
    result["weights_mib"] = {name: weight_bytes(part) / 2**20 for name, part in bench.parts().items()}
    result["text_encoder_bytes_kept"] = bench.text_encoder_bytes()
    outputs: dict[str, torch.Tensor] = {}
    seconds: dict[str, list[Spent]] = {}
    peaks = {"loaded": peak_memory(device)}

    def ours() -> None:
        with torch.no_grad():
            outputs["ours"] = model(image, keys=[KEY]).feature_map

    with_samples(model, 1)
    ours()                                                                   # warm-up
    seconds["ours_1"] = timed(ours, device, repeats=options.repeats)
    result["seconds_by_part_ours_1"] = time_stages(our_stages(model, KEY), image, device, repeats=options.repeats)
    peaks["ours_1"] = peak_memory(device)
    with_samples(model, options.samples)
    seconds["ours"] = timed(ours, device, repeats=options.repeats)
    peaks["ours"] = peak_memory(device)
    procedure = bench.procedure()
    vae_noise, noise = bench.noise(KEY, options.samples)

    def released(copies: int) -> None:
        outputs["released"] = procedure(image, vae_noise[:copies].to(device), noise[:copies].to(device))

    released(1)                                                              # warm-up
    seconds["released"] = timed(lambda: released(options.samples), device, repeats=options.repeats)
    peaks["released"] = peak_memory(device)
    result |= {"seconds": seconds, "peak_memory_bytes": peaks,
               "relative_error": relative_error(outputs["ours"], outputs["released"])}


def summarise(result: dict[str, Any], samples: int, device: torch.device) -> None:
    """Add what follows from the figures: medians, ratios, rates."""
    released = median(result["seconds"]["released"])
    result["runs"] = {}
    for run, label in (("released", f"released procedure, {samples} copies"), ("ours", f"ours, {samples} samples"),
                       ("ours_1", "ours, 1 sample")):
        spent = median(result["seconds"][run])
        gflop = sum(result["gflop_by_part"][run].values())
        result["runs"][run] = {
            "label": label, "seconds_per_image": spent.wall, "cpu_seconds_per_image": spent.cpu,
            "times_faster": released.wall / spent.wall, "times_less_cpu": released.cpu / spent.cpu, "gflop": gflop,
            "gflop_per_s": (speed := gflop / busy_seconds(spent, device)),
            "fraction_of_matrix_rate": speed / result["matrix_gflop_per_s"]}


def show(result: dict[str, Any], console: Console) -> None:
    """The tables."""
    rate = result["matrix_gflop_per_s"]
    table = Table(title=f"One image, {result['dtype']}; matrix product {rate:.0f} GFLOP per busy second")
    for column in ("", "s / image", "times faster", "CPU s", "times less", "GFLOP", "GFLOP/busy s", "of matrix rate",
                   "peak GiB so far"):
        table.add_column(column, justify="left" if not column else "right")
    for run, row in result["runs"].items():
        peaks = " + GPU ".join(f"{value / 2**30:.1f}" for value in result["peak_memory_bytes"][run].values())
        table.add_row(row["label"], f"{row['seconds_per_image']:.2f}", f"{row['times_faster']:.1f}",
                      f"{row['cpu_seconds_per_image']:.2f}", f"{row['times_less_cpu']:.1f}", f"{row['gflop']:.1f}",
                      f"{row['gflop_per_s']:.0f}", f"{row['fraction_of_matrix_rate']:.0%}", peaks)
    console.print(table)
    parts = Table(title="GFLOP by part")
    parts.add_column("")
    for run in result["runs"].values():
        parts.add_column(run["label"], justify="right")
    parts.add_column("seconds, ours at 1", justify="right")
    for part in result["gflop_by_part"]["released"]:
        figures = [result["gflop_by_part"][run].get(part, 0.0) for run in result["runs"]]
        seconds = result["seconds_by_part_ours_1"][part].wall
        parts.add_row(part, *(f"{figure:.2f}" for figure in figures), f"{seconds:.3f}")
    console.print(parts)
    weights = ", ".join(f"{name} {size:.0f}" for name, size in result["weights_mib"].items())
    console.print(f"Weights in MiB: {weights}. Text encoder kept after loading: {result['text_encoder_bytes_kept']} B.")
    console.print(f"Relative error of our feature map, same noise: {result['relative_error']:.1e}")


def check_last_tap(options: argparse.Namespace, console: Console) -> int:
    """Whether our UNet pass costs exactly what its blocks cost up to the last tap; 0 if it does."""
    spent, needed, whole = last_tap_flops(options)
    console.print(f"One UNet pass of ours: {spent / 1e9:.3f} GFLOP; blocks up to the last tap: {needed / 1e9:.3f}; "
                  f"whole UNet: {whole / 1e9:.3f}. After the last tap: {spent - needed} operations.")
    return 0 if spent == needed else 1


def last_tap_flops(options: argparse.Namespace) -> tuple[int, int, int]:
    """Operations of our pass for one row, of the uncut UNet's parts up to the last tap, and of the whole UNet."""
    bench: Bench = build(options.architecture, options.encoder, device="meta")
    with_samples(bench.model, 1)
    diffusion = bench.diffusion
    latents = torch.empty(1, *bench.latent_shape, device="meta")
    spent = count_flops({"UNet": lambda state: diffusion.forward_taps(latents, [KEY], None)}, latents)["UNet"]
    full = build_part(load_architecture(options.architecture)["unet"], device="meta")
    order = list(named_blocks(full))
    late = order[max(order.index(tap) for tap in diffusion.taps) + 1:]
    blocks = named_blocks(full)
    after = {name: blocks[name] for name in late} | {"head": full.conv_out}
    whole, by_module = flops_by_module(
        lambda: full(latents, 195, encoder_hidden_states=diffusion.prompt_hidden), after)
    return spent, whole - sum(by_module.values()), whole


if __name__ == "__main__":
    sys.exit(main())
