"""Pairs of the drawn world per second, photo, drawing and all labels, by one process and by two.

    OMP_NUM_THREADS=1 python benchmarks/drawn_world.py
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor

from sketchfusion.data.world import make_sample
from sketchfusion.data.world.categories import CATEGORIES


def make_pairs(first: int, count: int, size: int) -> None:
    """That many pairs, going through the categories in turn."""
    names = list(CATEGORIES)
    for index in range(first, first + count):
        make_sample(names[index % len(names)], index, size=size)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400, help="for each process")
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    for processes in (1, 2):
        with ProcessPoolExecutor(processes) as pool:
            start = time.perf_counter()
            for job in [pool.submit(make_pairs, number * options.pairs, options.pairs, options.size)
                        for number in range(processes)]:
                job.result()
            print(f"{processes} process(es): {processes * options.pairs / (time.perf_counter() - start):.0f} pairs/s "
                  f"at {options.size} px")


if __name__ == "__main__":
    main()
