"""How strongly each task pulls at what is shared, and whether they pull against one another.

    python benchmarks/task_gradients.py configs/train/mini_64.yaml --data shards --cache ENCODED \
        --fusion runs/.../fusion --out FILE.json

Gradients of each task's loss, before any weight, on injection and aggregation: norms, and cosines between tasks, the
mean over some batches; at the start, and where a trained fusion is given there too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.objective import TERMS
from sketchfusion.engine.runtime import open_run
from sketchfusion.engine.train_fusion import FusionTask


def pulls(task: FusionTask, recipe: FusionRecipe, number: int) -> dict[str, Tensor]:
    """Task -> its flattened gradient on batch ``number``."""
    learner = task.learner
    shared = [value for part in (learner.injector, learner.aggregator) for value in part.parameters()]
    seen = learner.see(learner.sampler.batch(number))
    found = {}
    for name in recipe.tasks.weights:
        term = TERMS[name](seen, learner.heads, recipe.tasks, generator_for("cpu", "pull", number))
        gradients = torch.autograd.grad(term, shared, retain_graph=True, allow_unused=True)
        found[name] = torch.cat([(torch.zeros_like(value) if gradient is None else gradient).flatten()
                                 for value, gradient in zip(shared, gradients, strict=True)])
    return found


def measure(task: FusionTask, recipe: FusionRecipe, batches: int) -> dict[str, Any]:
    """Norms and cosines, the mean over batches."""
    names = list(recipe.tasks.weights)
    norms, cosines = torch.zeros(len(names)), torch.zeros(len(names), len(names))
    for number in range(batches):
        gradients = torch.stack(list(pulls(task, recipe, number).values()))
        size = gradients.norm(dim=1)
        norms += size / batches
        unit = gradients / size[:, None].clamp(min=1e-12)
        cosines += unit @ unit.T / batches
    return {"norm": dict(zip(names, norms.tolist(), strict=True)),
            "cosine": {name: dict(zip(names, row, strict=True))
                       for name, row in zip(names, cosines.tolist(), strict=True)}}


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of `pretrain pack`")
    parser.add_argument("--cache", type=Path, required=True, help="folder of encoded data, made if it is not there")
    parser.add_argument("--fusion", type=Path, help="folder of a fusion that this recipe trained")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    recipe = load_recipe(FusionRecipe, arguments.recipe, [
        f"data.shards={arguments.data}", f"cache={arguments.cache}", f"output={arguments.cache}"])
    task = FusionTask(recipe, open_run(recipe, device="cpu"))
    report["at the start"] = measure(task, recipe, arguments.batches)
    if arguments.fusion:
        from safetensors.torch import load_file

        task.model.load_state_dict(load_file(arguments.fusion / "fusion.safetensors"), strict=False)
        report["trained"] = measure(task, recipe, arguments.batches)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
