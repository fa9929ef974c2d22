"""``sketchfusion pretrain clip``: a text and a vision tower that know photos, drawings, emoji and icons by name.

Saved so that both users find what they need: the extractor loads the vision tower from the folder itself, the
diffusion model takes its text encoder from ``text_encoder/`` and ``tokenizer/`` below.
"""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchfusion.backbones.loading import StockModel
from sketchfusion.backbones.patch_encoder import CLIP_MEAN, CLIP_STD
from sketchfusion.data.packed.augment import PLAIN
from sketchfusion.data.packed.corpus import load_corpus, spread
from sketchfusion.data.packed.names import TEMPLATES, captions
from sketchfusion.data.packed.sampling import Batch, Feeder, generator_for
from sketchfusion.engine import runtime
from sketchfusion.engine.loop import Metrics, fit, report
from sketchfusion.engine.pictures import save_sheet
from sketchfusion.engine.run import Run, write_log
from sketchfusion.pretrain.config import ClipRecipe
from sketchfusion.pretrain.tokenizer import END, START, make_tokenizer, save_tokenizer
from sketchfusion.tasks.contrast import cross_domain_loss, everyone, multi_positive_loss

CHUNK = 256
LOGIT_SCALE_LIMIT = math.log(100.0)  # as in CLIP
LINES = ("drawing", "sketch", "icon")  # kinds that are lines on paper; the others are in colour
TEXT_ENCODER, TOKENIZER, RECORD = "text_encoder", "tokenizer", "clip.json"


class ClipLearner(nn.Module):
    """Batch number -> loss."""

    mean: Tensor
    std: Tensor
    domains: Tensor

    def __init__(self, text: StockModel, vision: StockModel, feeder: Feeder, tokens: dict[str, Tensor],
                 recipe: ClipRecipe, accelerator: Any) -> None:
        """
        Args:
            text, vision: stock towers with projection to the same size.
            tokens: kind -> (classes, templates, L) tokens of every caption.
        """
        super().__init__()
        self.text, self.vision = text, vision
        start = -math.log(recipe.loss.initial_temperature)
        self.logit_scale = nn.Parameter(torch.tensor(start, device=accelerator.device))
        # On the device, and the kinds of a batch are always the same: nothing is copied there in a step.
        mean, std = (torch.tensor(values, device=accelerator.device).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        lines = [int(kind in LINES) for kind, count in feeder.counts.items() for _ in range(count)]
        self.register_buffer("domains", torch.tensor(lines, device=accelerator.device), persistent=False)
        self._feeder, self._tokens, self._recipe, self._accelerator = feeder, tokens, recipe, accelerator
        self._calls = tuple(runtime.faster(part, recipe.training.compile, accelerator.device)
                            for part in (text, vision))

    def forward(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its terms on batch ``number``."""
        batch = self._feeder.batch(number)
        tokens = self.pick_captions(batch, number)
        call_text, call_vision = self._calls
        image = call_vision(pixel_values=self.normalise(batch.images_01)).image_embeds.float()
        text = call_text(input_ids=tokens).text_embeds.float()
        with torch.autocast(image.device.type, enabled=False):
            image, text = F.normalize(image, dim=1), F.normalize(text, dim=1)
            all_ids = everyone(batch.class_ids, self._accelerator)
            scale = self.logit_scale.clamp(max=LOGIT_SCALE_LIMIT).exp()
            by_image = multi_positive_loss(image, everyone(text, self._accelerator), batch.class_ids, all_ids, scale)
            by_text = multi_positive_loss(text, everyone(image, self._accelerator), batch.class_ids, all_ids, scale)
            terms = {"contrast": (by_image + by_text) / 2, "scale": scale}
            loss = terms["contrast"]
            if self._recipe.loss.cross_domain:
                terms["cross_domain"] = cross_domain_loss(image, batch.class_ids, self.domains,
                                                          self._recipe.loss.cross_domain_temperature)
                loss = loss + self._recipe.loss.cross_domain * terms["cross_domain"]
        return loss, terms

    def normalise(self, images_01: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> what the vision tower takes."""
        return (images_01 - self.mean) / self.std

    def pick_captions(self, batch: Batch, number: int) -> Tensor:
        """(B, L) tokens: for each picture one of the sentences about its class."""
        picked, start = [], 0
        for kind, count in batch.kinds:
            ids = batch.class_ids[start:start + count]
            generator = generator_for(ids.device, self._recipe.seed, kind, "caption", number,
                                      self._accelerator.process_index)
            which = torch.randint(len(TEMPLATES[kind]), (count,), generator=generator, device=ids.device)
            picked.append(self._tokens[kind][ids, which])
            start += count
        return torch.cat(picked)


class ClipTask:
    """Learner, held-out figures and sample pictures."""

    def __init__(self, recipe: ClipRecipe, run: Run) -> None:
        """Build the towers and read the data. Raises ConfigError, DataError."""
        device, data, training = run.accelerator.device, recipe.data, recipe.training
        corpus = load_corpus(Path(data.shards).expanduser(), recipe.size, list(data.mix), device=device).named()
        self.train, self.held_out = corpus.part(held_out=False), corpus.part(held_out=True)
        texts = {kind: [captions(kind, name) for name in corpus.classes] for kind in data.mix}
        length = int(recipe.text["max_position_embeddings"])
        self.tokenizer = make_tokenizer([text for rows in texts.values() for row in rows for text in row],
                                        size=recipe.vocabulary, length=length)
        tokens = {kind: self._tokens(rows, length).to(device) for kind, rows in texts.items()}
        initial = recipe.initial
        self.text = runtime.build(text_config(recipe, self.tokenizer), seed=recipe.seed,
                                  initial=f"{initial}/{TEXT_ENCODER}" if initial else "").to(device)
        self.vision = runtime.build(recipe.vision, seed=recipe.seed + 1, initial=initial).to(device)
        feeder = Feeder(self.train, data.mix, training.batch_size, seed=recipe.seed, balance=data.balance,
                        views={kind: data.view(kind) for kind in data.mix}, rank=run.accelerator.process_index,
                        world=run.accelerator.num_processes)
        self.learner = ClipLearner(self.text, self.vision, feeder, tokens, recipe, run.accelerator)
        self._all_tokens, self._accelerator, self._evaluated = tokens, run.accelerator, training.evaluated

    def _tokens(self, rows: list[list[str]], length: int) -> Tensor:
        flat = [text for row in rows for text in row]
        encoded = self.tokenizer(flat, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        ids: Tensor = encoded.input_ids
        return ids.view(len(rows), -1, length)

    def evaluate(self) -> Metrics:
        """Zero-shot top-1 and top-5 by kind, and how often a drawing's ten nearest photos are of its class.

        The names to choose from are those of all the classes of that kind in the data.
        """
        metrics: Metrics = {}
        vectors = {kind: self.image_vectors(kind) for kind in self.held_out.sets}
        for kind in ("photo", "drawing", "sketch"):
            if kind in vectors:
                metrics |= self.zero_shot(kind, *vectors[kind])
        if "photo" in vectors and "drawing" in vectors:
            (queries, query_ids), (gallery, gallery_ids) = vectors["drawing"], vectors["photo"]
            shared = torch.isin(query_ids, gallery_ids)
            if shared.any():
                nearest = (queries[shared] @ gallery.T).topk(min(10, len(gallery)), dim=1).indices
                hits = gallery_ids[nearest] == query_ids[shared][:, None]
                metrics["drawing_to_photo_p10"] = float(hits.float().mean())
        return metrics

    def zero_shot(self, kind: str, vectors: Tensor, ids: Tensor) -> Metrics:
        """Accuracy of naming held-out pictures of one kind."""
        known = torch.cat([part.sets[kind].class_ids for part in (self.train, self.held_out)
                           if kind in part.sets]).unique()
        texts = torch.stack([name_vector(self.text_vectors(self._all_tokens[kind][row])) for row in known.tolist()])
        hits = among_best(vectors, ids, texts, known)
        return {f"{kind}_top1": float(hits[:, 0].float().mean()), f"{kind}_top5": float(hits.any(1).float().mean()),
                f"{kind}_classes": float(len(known))}

    @torch.no_grad()
    def text_vectors(self, tokens: Tensor) -> Tensor:
        """(N, L) -> (N, D) unit vectors."""
        with self._accelerator.autocast():
            return F.normalize(self.text(input_ids=tokens).text_embeds.float(), dim=1)

    @torch.no_grad()
    def image_vectors(self, kind: str) -> tuple[Tensor, Tensor]:
        """Unit vectors (N, D) and classes (N,) of held-out pictures, evenly chosen where there are many."""
        items = self.held_out.sets[kind]
        rows = spread(items, self._evaluated)
        parts = []
        for part in rows.split(CHUNK):
            images = items.render(part, PLAIN, generator_for(part.device, "plain"))
            with self._accelerator.autocast():
                embeds = self.vision(pixel_values=self.learner.normalise(images)).image_embeds
            parts.append(F.normalize(embeds.float(), dim=1))
        return torch.cat(parts), items.class_ids[rows]

    def picture(self, file: Path) -> None:
        """Held-out drawings, each followed by the seven nearest held-out photos."""
        kind = next((kind for kind in LINES if kind in self.held_out.sets), None)
        if kind is None or "photo" not in self.held_out.sets:
            return
        drawings, photos = self.held_out.sets[kind], self.held_out.sets["photo"]
        shared = torch.nonzero(torch.isin(drawings.class_ids, photos.class_ids)).flatten()
        chosen = shared if len(shared) else torch.arange(len(drawings.class_ids), device=shared.device)
        rows = chosen[torch.linspace(0, len(chosen) - 1, min(10, len(chosen)), device=chosen.device).long()]
        gallery, _ = self.image_vectors("photo")
        plain = generator_for(rows.device, "plain")
        images = drawings.render(rows, PLAIN, plain)
        with self._accelerator.autocast():
            queries = self.vision(pixel_values=self.learner.normalise(images)).image_embeds.float()
        nearest = (queries @ gallery.T).topk(min(7, len(gallery)), dim=1).indices
        order = spread(photos, self._evaluated)
        found = [photos.render(order[row], PLAIN, plain) for row in nearest]
        save_sheet(file, torch.cat([torch.cat([image[None], row]) for image, row in zip(images, found, strict=True)]),
                   1 + nearest.shape[1])

    def save(self, folder: Path, recipe: ClipRecipe, metrics: Metrics) -> None:
        """Vision tower, text tower, tokenizer and a record in the hub's layout."""
        runtime.export(self.vision, folder, recipe.export)
        runtime.export(self.text, folder / TEXT_ENCODER, recipe.export)
        save_tokenizer(self.tokenizer, folder / TOKENIZER)
        side = {"height": recipe.size, "width": recipe.size}
        processor = {"image_processor_type": "CLIPImageProcessor", "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
                     "size": side, "crop_size": side, "do_resize": True, "do_normalize": True, "do_rescale": True}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1), encoding="utf-8")
        record = {"logit_scale": self.learner.logit_scale.item(), "templates": TEMPLATES, "metrics": metrics}
        (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def name_vector(caption_vectors: Tensor) -> Tensor:
    """(D,) unit vector of a class from (T, D) of its captions: the mean of its sentences, without the bare name."""
    return F.normalize(caption_vectors[:-1].mean(0), dim=0)


def among_best(vectors: Tensor, class_ids: Tensor, texts: Tensor, known: Tensor, *, most: int = 5) -> Tensor:
    """Zero-shot naming: whether the class of each picture is its first, second, ... name.

    Args:
        vectors: (N, D) unit vectors of pictures; class_ids: (N,).
        texts: (K, D) unit vectors of the names to choose from; known: (K,) their classes.
    Returns:
        (N, min(most, K)) bool, the best first.
    """
    best = known[(vectors @ texts.T).topk(min(most, len(known)), dim=1).indices]
    return best == class_ids[:, None]


def text_config(recipe: ClipRecipe, tokenizer: Any) -> dict[str, Any]:
    """The text tower's configuration, with what the tokenizer decides."""
    end = tokenizer.convert_tokens_to_ids(END)
    return {**recipe.text, "vocab_size": len(tokenizer), "bos_token_id": tokenizer.convert_tokens_to_ids(START),
            "eos_token_id": end, "pad_token_id": end}


def train_clip(recipe: ClipRecipe, run: Run) -> Metrics:
    """Train, then save ``clip/`` in the output folder; returns the held-out figures.

    Raises:
        ConfigError, DataError, WeightsUnavailable: see ``ClipTask``; KeyboardInterrupt: stopped, see ``loop.fit``.
    """
    task = ClipTask(recipe, run)
    steps, average = fit(task, recipe, run)
    with average.applied() if average else nullcontext():
        if not run.accelerator.is_main_process:
            return {}
        metrics = report(task, run, steps, "final")
        task.save(run.output / "clip", recipe, metrics)
    write_log(run, {"event": "saved", "folder": "clip"})
    return metrics
