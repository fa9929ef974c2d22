"""``sketchfusion train``: injection, aggregation and branch weights on several tasks at once, the backbones frozen.

Latents and patch features of all pictures are made once (``engine.encoded``); a step runs the UNet and what is learned.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from sketchfusion.config import CanvasConfig, load_preset
from sketchfusion.data.packed.augment import PLAIN
from sketchfusion.data.packed.corpus import Corpus, load_corpus, read_manifest
from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine.encoded import SIDES, EncodedSide, cached_side, encode_side, encoding_identity
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.judge import instance_truth, judge_categories, judge_instances
from sketchfusion.engine.loop import Metrics, Run, fit, report, write_log
from sketchfusion.engine.pairs import PairSampler
from sketchfusion.engine.pictures import save_sheet
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.checkpoint import place
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.category_retrieval import category_loss
from sketchfusion.tasks.fine_grained_retrieval import fine_grained_loss

FOLDER = "fusion"
CHUNK, SHOWN, NEAREST = 64, 10, 7
Progress = Callable[[str, int, int], None]


class FusionLearner(nn.Module):
    """Batch number -> loss. Only what learns is a part of this module; the frozen backbones are not."""

    def __init__(self, model: SketchFusion, sides: dict[str, EncodedSide], recipe: FusionRecipe,
                 rank: int, world: int) -> None:
        super().__init__()
        self.injector, self.aggregator = model.injector, model.aggregator
        self._model, self._sides, self._recipe = (model,), sides, recipe  # a tuple: not a submodule
        self._rank, self._world = rank, world
        labels = {side: sides[side].labels(recipe.data.mix, side) for side in sides}
        self.sampler = PairSampler(labels["sketches"], labels["photos"], seed=recipe.seed, balance=recipe.data.balance,
                                   siblings=recipe.pairs.siblings)
        total, tasks = recipe.training.batch_size, recipe.tasks
        share = recipe.pairs.instance_share if tasks.category.weight else 1.0
        self.num_instances = round(total * share) if tasks.fine_grained.weight else 0
        self.sampler.check(by_class=self.num_instances < total, by_instance=self.num_instances > 0)

    def forward(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the tasks' losses on batch ``number``, and each of them."""
        recipe, model = self._recipe, self._model[0]
        place = number * self._world + self._rank
        by_class = self.sampler.by_class(place, recipe.training.batch_size - self.num_instances)
        by_instance = self.sampler.by_instance(place, self.num_instances)
        generator = generator_for("cpu", recipe.seed, "fusion", number, self._rank)
        rows = {side: torch.cat([torch.from_numpy(by_instance[index]), torch.from_numpy(by_class[index])])
                for index, side in enumerate(SIDES)}
        # A pair is seen in the same view, so that a mirrored sketch meets the mirrored photo.
        views = torch.randint(recipe.views, (len(rows["photos"]),), generator=generator)
        vectors = {side: describe(model, self._sides[side], rows[side], views) for side in SIDES}
        classes = {side: self._sides[side].class_ids[rows[side]].to(model.device) for side in SIDES}
        terms: dict[str, Tensor] = {}
        if recipe.tasks.category.weight:
            pick = generator_for(model.device, recipe.seed, "negatives", number, self._rank)
            terms["category"] = category_loss(vectors["sketches"], vectors["photos"], classes["sketches"],
                                              classes["photos"], recipe.tasks.category.loss, pick)
        if self.num_instances:
            near = slice(self.num_instances)
            instances = self._sides["photos"].instance_ids[rows["photos"]].to(model.device)
            terms["fine_grained"] = fine_grained_loss(vectors["sketches"][near], vectors["photos"][near],
                                                      instances[near], classes["photos"][near],
                                                      recipe.tasks.fine_grained.loss)
        weights = {"category": recipe.tasks.category.weight, "fine_grained": recipe.tasks.fine_grained.weight}
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum(), terms


def describe(model: SketchFusion, side: EncodedSide, rows: Tensor, views: Tensor) -> Tensor:
    """(B, D) float32 descriptors of encoded pictures."""
    encoded, content = side.take(rows, views, model)
    return model.fuse(encoded, content).descriptor


class FusionTask:
    """Learner, held-out figures and sample pictures."""

    def __init__(self, recipe: FusionRecipe, run: Run, on_progress: Progress | None = None) -> None:
        """Build the model, read and encode the data. Raises ConfigError, DataError, WeightsUnavailable."""
        self.model = place(build_model(recipe), device=str(run.accelerator.device), dtype="float32", compiled=False)
        self.model.train()
        shards = Path(recipe.data.shards).expanduser()
        self.held_out, train = load_both_parts(shards, recipe, self.model.canvas_size)
        cache = Path(recipe.cache).expanduser() if recipe.cache else run.output / "encoded"
        contents = [entry["sha256"] for entry in read_manifest(shards)["shards"]]

        def encode(name: str, side: str, corpus: Corpus, *, held_out: bool) -> EncodedSide:
            views = {kind: PLAIN if held_out else recipe.view(kind) for kind in recipe.data.mix}
            num_views, most = (1, recipe.training.evaluated) if held_out else (recipe.views, 0)
            # The seed of the run has no part in it, so that several seeds share what was encoded.
            key = [encoding_identity(self.model), contents, side, held_out, num_views, most,
                   {kind: view.model_dump(mode="json") for kind, view in sorted(views.items())}]
            return cached_side(cache, key, lambda: encode_side(
                self.model, corpus, side, views, num_views=num_views, seed=0, most=most,
                on_progress=on_progress and (lambda done, total: on_progress(name, done, total))))

        sides = {side: encode(f"Encoding {side}", side, train, held_out=False) for side in SIDES}
        self.judged = {side: encode(f"Encoding held-out {side}", side, self.held_out, held_out=True) for side in SIDES}
        self.learner = FusionLearner(self.model, sides, recipe, run.accelerator.process_index,
                                     run.accelerator.num_processes)

    @torch.no_grad()
    def vectors(self) -> dict[str, Tensor]:
        """Side -> (N, D) descriptors of the held-out pictures, on the CPU."""
        found = {}
        for name, side in self.judged.items():
            rows = torch.arange(len(side))
            found[name] = torch.cat([describe(self.model, side, part, torch.zeros_like(part)).cpu()
                                     for part in rows.split(CHUNK)])
        return found

    def evaluate(self) -> Metrics:
        """On held-out pictures: category mAP@all and P@100, and instance Acc@1 and Acc@10 among all held-out photos."""
        vectors, sketches, photos = self.vectors(), self.judged["sketches"], self.judged["photos"]
        figures = judge_categories(vectors["sketches"], vectors["photos"], sketches.class_ids, photos.class_ids)
        metrics = {f"category_{name}": float(values.nanmean()) for name, values in figures.items()}
        rows, truth = instance_truth(sketches.instance_ids, photos.instance_ids)
        if len(rows):
            found = judge_instances(vectors["sketches"][rows], vectors["photos"], truth)
            metrics |= {f"instance_{name}": float(values.mean()) for name, values in found.items()}
        weights = self.model.aggregator.branch_weights.detach().flatten().tolist()
        return metrics | {f"branch_weight_{index}": value for index, value in enumerate(weights)}

    def picture(self, file: Path) -> None:
        """Held-out sketches, each followed by the photos nearest to it."""
        vectors = self.vectors()
        sketches, photos = self.judged["sketches"], self.judged["photos"]
        known = torch.nonzero(torch.isin(sketches.class_ids, photos.class_ids)).flatten()
        chosen = known[torch.linspace(0, len(known) - 1, min(SHOWN, len(known))).long()]
        nearest = (vectors["sketches"][chosen] @ vectors["photos"].T).topk(min(NEAREST, len(photos)), dim=1).indices
        rows = []
        for row, found in zip(chosen, nearest, strict=True):
            rows += [self._image("sketches", int(row)), *(self._image("photos", int(index)) for index in found)]
        save_sheet(file, torch.cat(rows), 1 + nearest.shape[1])

    def _image(self, side: str, index: int) -> Tensor:
        """(1, 3, S, S) of one held-out picture."""
        judged = self.judged[side]
        items = self.held_out.sets[SIDES[side][int(judged.kinds[index])]]
        row = judged.rows[index:index + 1].to(items.class_ids.device)
        return items.render(row, PLAIN, generator_for(row.device, "plain")).cpu()

    def finish(self, folder: Path) -> None:
        """Save the model; it counts as trained."""
        self.model.is_trained = True
        self.model.save_pretrained(folder)


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
    if config.canvas != bars:
        raise ConfigError(f"the packed data lie on bars of the usual colours ({bars.photo_padding} for photos, "
                          f"{bars.sketch_padding} for sketches), but the model has others; leave canvas.photo_padding "
                          "and canvas.sketch_padding alone")
    if not config.aggregation.network and not config.injection.convolutions:
        raise ConfigError("this model has nothing to learn: aggregation.network and injection.convolutions are false")
    model = SketchFusion.from_config(config)
    model.learn_anew(recipe.seed)
    return model


def load_both_parts(shards: Path, recipe: FusionRecipe, size: int) -> tuple[Corpus, Corpus]:
    """(held-out part, training part) of the packed data, on the CPU: they are encoded batch by batch."""
    corpus = load_corpus(shards, size, list(recipe.data.mix)).named()
    return corpus.part(held_out=True), corpus.part(held_out=False)


def train_fusion(recipe: FusionRecipe, run: Run, on_progress: Progress | None = None) -> Metrics:
    """Train, then save ``fusion/`` in the output folder; returns the held-out figures.

    Raises:
        ConfigError, DataError, WeightsUnavailable: see ``FusionTask``; KeyboardInterrupt: stopped, see ``loop.fit``.
    """
    task = FusionTask(recipe, run, on_progress)
    steps, average = fit(task, recipe, run)
    with average.applied() if average else nullcontext():
        if not run.accelerator.is_main_process:
            return {}
        metrics = report(task, run, steps, "final")
        task.finish(run.output / FOLDER)
    write_log(run, {"event": "saved", "folder": FOLDER})
    return metrics
