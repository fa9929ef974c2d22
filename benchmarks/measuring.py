"""Seconds, floating-point operations and bytes: what the benchmarks measure with."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

State = dict[str, Any]
Stages = Mapping[str, Callable[[State], Any]]
"""Part of the work -> what it computes from the image and from the parts before it."""


class Spent(NamedTuple):
    """Seconds by the clock, and of this process's threads together; the latter do not grow where others share the
    processor, as long as waiting threads sleep (OMP_WAIT_POLICY=passive)."""

    wall: float
    cpu: float


def busy_seconds(spent: Spent, device: torch.device) -> float:
    """Seconds of the device itself: on the CPU those of all threads, shared out evenly; else those by the clock."""
    return spent.cpu / torch.get_num_threads() if device.type == "cpu" else spent.wall


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], Any], device: torch.device, *, repeats: int = 1, budget_s: float = 40) -> list[Spent]:
    """What each repeat took, at least one; no further repeat is begun once ``budget_s`` are spent."""
    spent: list[Spent] = []
    while not spent or (len(spent) < repeats and sum(each.wall for each in spent) < budget_s):
        synchronise(device)
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        synchronise(device)
        spent.append(Spent(time.perf_counter() - wall, time.process_time() - cpu))
    return spent


def median(spent: Sequence[Spent]) -> Spent:
    """Median of either kind of seconds."""
    return Spent(statistics.median(each.wall for each in spent), statistics.median(each.cpu for each in spent))


def run_stages(stages: Stages, image_01: Tensor, around: Callable[[str, Callable[[], Any]], Any]) -> State:
    """Run the parts in order; ``around(name, work)`` must call ``work`` and give its result."""
    state: State = {"image": image_01}
    for name, stage in stages.items():
        state[name] = around(name, partial(stage, state))
    return state


def count_flops(stages: Stages, image_01: Tensor) -> dict[str, int]:
    """Operations of each part (a multiplication and an addition are two), counted while it runs.

    Convolutions and matrix products are counted, in attention too: that is why attention takes its plain form here,
    whose products the counter knows on every device. Models on the "meta" device are counted without being computed.
    """
    counts: dict[str, int] = {}

    def around(name: str, work: Callable[[], Any]) -> Any:
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            result = work()
        counts[name] = int(counter.get_total_flops())
        return result

    with torch.no_grad():
        run_stages(stages, image_01, around)
    return counts


def flops_by_module(work: Callable[[], Any], modules: Mapping[str, nn.Module]) -> tuple[int, dict[str, int]]:
    """Operations of the whole work, and of those modules within it; each is run once."""
    begun: dict[str, int] = {}
    spent: dict[str, int] = {}
    handles = []
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        for name, module in modules.items():
            handles.append(module.register_forward_pre_hook(
                lambda *unused, name=name: begun.update({name: counter.get_total_flops()})))
            handles.append(module.register_forward_hook(
                lambda *unused, name=name: spent.update({name: counter.get_total_flops() - begun[name]})))
        work()
    for handle in handles:
        handle.remove()
    return int(counter.get_total_flops()), spent


def time_stages(stages: Stages, image_01: Tensor, device: torch.device, *, repeats: int) -> dict[str, Spent]:
    """Median of what each part took."""
    seconds: dict[str, list[Spent]] = {name: [] for name in stages}

    def around(name: str, work: Callable[[], Any]) -> Any:
        results: list[Any] = []
        seconds[name] += timed(lambda: results.append(work()), device)
        return results[0]

    with torch.no_grad():
        for _ in range(repeats):
            run_stages(stages, image_01, around)
    return {name: median(values) for name, values in seconds.items()}


def matrix_rate(device: torch.device, dtype: torch.dtype, sides: Sequence[int]) -> float:
    """Best operations per busy second of a square matrix product in this number format, with the threads in use."""
    best = 0.0
    for side in sides:
        left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        spent = timed(partial(torch.matmul, left, right), device, repeats=8)
        best = max(best, 2 * side**3 / min(busy_seconds(each, device) for each in spent))
    return best


def peak_memory(device: torch.device) -> dict[str, int]:
    """Largest resident memory of this process until now in bytes, and the largest ever allocated on the GPU."""
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(device)
    return peaks


def weight_bytes(module: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))


def relative_error(found: Tensor, expected: Tensor) -> float:
    """||found - expected|| / ||expected||, in float64 on the CPU."""
    reference = expected.double().cpu()
    return float((found.double().cpu() - reference).norm() / reference.norm())


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, without an end of line."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def machine(device: torch.device) -> dict[str, Any]:
    """What was measured on, without the machine's name."""
    facts: dict[str, Any] = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__,
                             "vectors": torch.backends.cpu.get_cpu_capability(), "device": device.type}
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    memory = Path("/proc/meminfo")
    if memory.is_file():
        facts["memory_gib"] = round(int(memory.read_text("utf-8").split()[1]) / 2**20)
    return facts
