"""``sketchfusion train``: injection, aggregation and heads, on one task or several together, the backbones frozen.

Latents and patch features of all pictures are made once (``engine.encoded``); a step runs the UNet and what is learned.
With ``finetune`` among the model's settings UNet and patch encoder learn too, and a step begins with the pictures.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from sketchfusion.config import CanvasConfig, load_preset
from sketchfusion.data.packed.augment import PLAIN
from sketchfusion.data.packed.corpus import Corpus, load_corpus, read_manifest
from sketchfusion.data.packed.names import class_name
from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine.batches import Batch, BatchSampler, dense_labels
from sketchfusion.engine.checkpoint import load_best
from sketchfusion.engine.encoded import SIDES, EncodedSide, cached_side, encode_side, encoding_identity
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.judge_tasks import (
    describe_side,
    fuse_rows,
    judge_dense,
    judge_recognition,
    judge_retrieval,
)
from sketchfusion.engine.loop import Metrics, fit, report
from sketchfusion.engine.objective import Objective, Seen
from sketchfusion.engine.pictures import save_sheet
from sketchfusion.engine.run import Run, write_log
from sketchfusion.errors import ConfigError
from sketchfusion.features import Features
from sketchfusion.fusion.checkpoint import place
from sketchfusion.fusion.extractor import SketchFusion

FOLDER = "fusion"
SHOWN, NEAREST = 10, 7
Progress = Callable[[str, int, int], None]


class FusionLearner(nn.Module):
    """Batch number -> loss. Only what learns is a part of this module; frozen backbones are not."""

    def __init__(self, model: SketchFusion, sides: dict[str, EncodedSide], recipe: FusionRecipe, targets: Tensor,
                 rank: int, world: int, unseen: Sequence[int] = ()) -> None:
        """
        Args:
            unseen: ids of the classes of which nothing is learned.
            targets: (classes,) long, class id -> class of the recognition head, -1 for none of them.
        """
        super().__init__()
        self.injector, self.aggregator, self.heads = model.injector, model.aggregator, model.heads
        if model.config.finetune:
            self.encoder, self.diffusion = model.encoder, model.diffusion
        self.objective = Objective(recipe.tasks)
        self._model, self._sides, self._recipe = (model,), sides, recipe  # a tuple: not a submodule
        self._targets, self._rank, self._world = targets, rank, world
        self.sampler = BatchSampler(sides, recipe, torch.nonzero(targets >= 0).flatten(), unseen)
        for task, head in (("correspondence", self.heads.correspondence), ("segmentation", self.heads.segmentation)):
            head.requires_grad_(task in recipe.tasks.weights)  # what no loss reaches does not learn

    def forward(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of batch ``number``, and each task's term."""
        place = number * self._world + self._rank
        seen = self.see(self.sampler.batch(place))
        generator = generator_for(self._model[0].device, self._recipe.seed, "loss", place)
        loss: tuple[Tensor, dict[str, Tensor]] = self.objective(seen, self.heads, generator)
        return loss

    def see(self, batch: Batch) -> Seen:
        """One forward pass over all pictures of a batch, and their labels."""
        model, sketches, photos = self._model[0], self._sides["sketches"], self._sides["photos"]
        device = model.device
        classes = sketches.class_ids[batch.sketches]
        return Seen(
            sketches=fuse_rows(model, sketches, batch.sketches, batch.sketch_views),
            photos=fuse_rows(model, photos, batch.photos, batch.photo_views) if len(batch.photos) else nothing(model),
            sketch_content=sketches.shown(batch.sketches, batch.sketch_views).to(device),
            photo_content=photos.shown(batch.photos, batch.photo_views).to(device),
            sketch_classes=classes.to(device), photo_classes=photos.class_ids[batch.photos].to(device),
            instances=photos.instance_ids[batch.photos].to(device), num_instances=batch.num_instances,
            targets=self._targets[classes].to(device),
            dense=dense_labels(sketches, photos, batch).to(device),
            canvas_size=model.canvas_size, temperature=model.config.heads.correspondence.temperature)


def nothing(model: SketchFusion) -> Features:
    """Features of no picture."""
    side, size = model.config.aggregation.grid_size, model.descriptor_size
    return Features(torch.zeros(0, size, side, side, device=model.device), torch.zeros(0, size, device=model.device))


class FusionTask:
    """Learner, held-out figures and sample pictures."""

    def __init__(self, recipe: FusionRecipe, run: Run, on_progress: Progress | None = None) -> None:
        """Build the model, read and encode the data. Raises ConfigError, DataError, WeightsUnavailable."""
        self._recipe, self._run, self._on_progress = recipe, run, on_progress
        self._shards = Path(recipe.data.shards).expanduser()
        self._manifest = read_manifest(self._shards)
        self._unseen = ids_of(recipe.unseen, self._manifest["classes"])
        self.model = place(build_model(recipe), device=str(run.accelerator.device), dtype="float32", compiled=False)
        with run.accelerator.main_process_first():  # the others find what it put into the cache
            sides = {side: self._encode(f"Encoding {side}", side) for side in SIDES}
            drawn = self._encode("Encoding held-out sketches", "sketches", held_out=True)
            self.judged = {"sketches": drawn, "photos": self._encode(
                "Encoding held-out photos", "photos", held_out=True, samples=drawn.sample_ids)}
        self.targets = self._recognised(sides["sketches"])
        if recipe.training.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        self.model.train()
        self.learner = FusionLearner(self.model, sides, recipe, self.targets, run.accelerator.process_index,
                                     run.accelerator.num_processes, self._unseen)

    @cached_property
    def _parts(self) -> tuple[Corpus, Corpus]:
        """(held-out part, training part) of the packed data, read only where something has to be encoded."""
        return load_both_parts(self._shards, self._recipe, self.model.canvas_size)

    def _encode(self, name: str, side: str, *, held_out: bool = False, samples: Tensor | None = None) -> EncodedSide:
        """A side from the cache, or encoded now."""
        recipe, tell = self._recipe, self._on_progress
        cache = Path(recipe.cache).expanduser() if recipe.cache else self._run.output / "encoded"
        views = {kind: PLAIN if held_out else recipe.view(kind) for kind in recipe.data.mix}
        num_views, most = (1, recipe.training.evaluated) if held_out else (recipe.views, 0)
        # The seed of the run has no part in it, so that several seeds share what was encoded.
        key = [encoding_identity(self.model), [entry["sha256"] for entry in self._manifest["shards"]], side, held_out,
               num_views, most, {kind: view.model_dump(mode="json") for kind, view in sorted(views.items())}]
        return cached_side(cache, key, lambda begin: encode_side(
            self.model, self._parts[0 if held_out else 1], side, views, num_views=num_views, seed=0, most=most,
            samples=samples, keep_images=held_out, begin=begin,
            on_progress=tell and (lambda done, total: tell(name, done, total))))

    def _recognised(self, sketches: EncodedSide) -> Tensor:
        """(classes,) class id -> class of the recognition head, which is made here."""
        classes, task = self._manifest["classes"], self._recipe.tasks.recognition
        targets = torch.full((len(classes),), -1)
        if not task.weight:
            return targets
        wanted = torch.tensor([SIDES["sketches"].index(kind) for kind in task.kinds])
        ids = sketches.class_ids[torch.isin(sketches.kinds, wanted)].unique()
        ids = ids[~torch.isin(ids, torch.tensor(self._unseen, dtype=ids.dtype))]
        if not len(ids):
            raise ConfigError(f"the data hold no sketches of the kinds {', '.join(task.kinds)} to recognise; name some "
                              "in data.mix, others in tasks.recognition.kinds, or set tasks.recognition.weight to 0")
        targets[ids] = torch.arange(len(ids))
        self.model.learn_anew(self._recipe.seed, [classes[index] for index in ids.tolist()])
        self.model.to(self.model.device)
        return targets

    def evaluate(self) -> Metrics:
        """On held-out pictures, of each task that was learned; retrieval of all."""
        sketches, photos, tasks = self.judged["sketches"], self.judged["photos"], self._recipe.tasks.weights
        vectors = {name: describe_side(self.model, side) for name, side in self.judged.items()}
        figures = judge_retrieval(sketches, photos, vectors)
        if "recognition" in tasks:
            figures |= judge_recognition(self.model, vectors["sketches"], self.targets[sketches.class_ids])
        if {"correspondence", "segmentation"} & tasks.keys():
            figures |= judge_dense(self.model, sketches, photos)
        head = self.model.heads.segmentation
        facts = {"threshold": float(head.threshold), "softness": float(head.softness)}
        weights = self.model.aggregator.branch_weights.detach().flatten().tolist()
        return {name: float(values.nanmean()) for name, values in figures.items()} | facts \
            | {f"branch_weight_{index}": value for index, value in enumerate(weights)}

    def picture(self, file: Path) -> None:
        """Held-out sketches, each followed by the photos nearest to it."""
        sketches, photos = self.judged["sketches"], self.judged["photos"]
        known = torch.nonzero(torch.isin(sketches.class_ids, photos.class_ids)).flatten()
        known = known if len(known) else torch.arange(len(sketches))
        chosen = known[torch.linspace(0, len(known) - 1, min(SHOWN, len(known))).long()]
        with torch.no_grad():
            vectors = fuse_rows(self.model, sketches, chosen).descriptor.float().cpu()
        nearest = (vectors @ describe_side(self.model, photos).T).topk(min(NEAREST, len(photos)), dim=1).indices
        shown = torch.cat([sketches.images[chosen][:, None], photos.images[nearest]], dim=1)
        save_sheet(file, shown.flatten(0, 1).float() / 255, shown.shape[1])

    def finish(self, folder: Path) -> None:
        """Save the model; it counts as trained."""
        self.model.is_trained = True
        self.model.save_pretrained(folder)


def ids_of(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Where each class stands among those of the packed data. Raises ConfigError: it is not there."""
    known = {name: number for number, name in enumerate(classes)}
    found = [known.get(name, known.get(class_name(name))) for name in names]
    lacking = [name for name, number in zip(names, found, strict=True) if number is None]
    if lacking:
        near = difflib.get_close_matches(lacking[0], classes, n=3)
        raise ConfigError(f"unseen names {lacking[0]!r}, which is no class of the packed data"
                          + (f"; near are {', '.join(near)}" if near else "") + "; leave it out, or name one that is")
    return [number for number in found if number is not None]


def build_model(recipe: FusionRecipe) -> SketchFusion:
    """The recipe's extractor with a fusion that has learned nothing, seeded by the recipe."""
    folder = Path(recipe.model).expanduser()
    if folder.is_dir():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = SketchFusion.from_pretrained(folder, overrides=recipe.settings, device="cpu").config
    else:
        config = load_preset(recipe.model, recipe.settings).extractor
    bars = CanvasConfig(size=config.canvas.size)
    if any(config.canvas.padding(kind) != bars.padding(kind) for kind in ("photo", "sketch")):
        raise ConfigError(f"the packed data lie on bars of the usual colours ({bars.photo_padding} for photos, "
                          f"{bars.sketch_padding} for sketches), but the model has others; leave canvas.photo_padding "
                          "and canvas.sketch_padding alone")
    fusion = config.aggregation.network or (config.injection.convolutions and config.injection.learned)
    if not fusion and not config.finetune:
        raise ConfigError("this model has nothing to learn: aggregation.network is false, and so is "
                          "injection.convolutions or injection.learned; set one of the two sides to true")
    model = SketchFusion.from_config(config)
    model.learn_anew(recipe.seed)
    return model


def load_both_parts(shards: Path, recipe: FusionRecipe, size: int) -> tuple[Corpus, Corpus]:
    """(held-out part, training part) of the packed data, on the CPU: they are encoded batch by batch."""
    corpus = load_corpus(shards, size, list(recipe.data.mix)).named()
    return corpus.part(held_out=True), corpus.part(held_out=False)


def train_fusion(recipe: FusionRecipe, run: Run, on_progress: Progress | None = None) -> Metrics:
    """Train, then save ``fusion/`` in the output folder: the last weights, or with ``training.best`` the best ones.

    Returns:
        The held-out figures of what was saved.

    Raises:
        ConfigError, DataError, WeightsUnavailable: see ``FusionTask``; KeyboardInterrupt: stopped, see ``loop.fit``.
    """
    task = FusionTask(recipe, run, on_progress)
    steps, average = fit(task, recipe, run)
    with average.applied() if average else nullcontext():
        if not run.accelerator.is_main_process:
            return {}
        if recipe.training.best:
            load_best(task.learner, run.output)
        metrics = report(task, run, steps, "final")
        task.finish(run.output / FOLDER)
    write_log(run, {"event": "saved", "folder": FOLDER})
    return metrics
