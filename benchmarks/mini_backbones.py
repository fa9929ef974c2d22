"""How good the backbones of `mini` are: the autoencoder's PSNR, CLIP's naming by text, the diffusion model's samples.

All of it from the weights in the package, as the stock classes load them, on pictures that were held out of training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.backbones.patch_encoder import CLIP_MEAN, CLIP_STD
from sketchfusion.data.packed.augment import PLAIN
from sketchfusion.data.packed.corpus import Corpus, ItemSet, load_corpus, spread
from sketchfusion.data.packed.names import captions
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine.pictures import save_sheet
from sketchfusion.metrics.retrieval import bootstrap_interval
from sketchfusion.pretrain.clip import among_best, name_vector
from sketchfusion.pretrain.vae import psnr

SHIPPED = Path(str(resources.files("sketchfusion"))) / "weights" / "mini"
MOST, CHUNK = 2000, 64
SAMPLED = ("airplane", "motorbike", "face", "t-shirt", "apple", "chair", "shoe", "leopard", "watch", "piano")
SAMPLES_PER_NAME, STEPS, GUIDANCE = 4, 30, 3.0


def measure_backbones(data: Path, pictures: Path, *, weights: Path = SHIPPED) -> dict[str, Any]:
    """Figures with 95 % intervals; writes ``mini_samples.png`` and ``mini_reconstructions.png`` to ``pictures``.

    Args:
        data: folder with ``caltech101`` and ``quickdraw``.
        weights: folder with ``diffusion/`` and ``clip/``.
    """
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(weights / "diffusion" / "vae", torch_dtype=torch.float32).eval()
    size = int(vae.config.sample_size)
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        pack(data, shards, PackOptions(only=("caltech101", "clothing", "grocery", "trashnet", "quickdraw")))
        every = load_corpus(shards, size, ["photo", "drawing"])
        pack(data, shards, PackOptions(only=("caltech101", "quickdraw")))
        named = load_corpus(shards, size, ["photo", "drawing"]).named()
    photos = every.part(held_out=True).sets["photo"]
    rows = spread(photos, MOST)
    reconstruct = through(vae)
    report = {"size": size, "vae": {"photos": len(rows), "PSNR": mean_of(psnr(photos, rows, reconstruct))}}
    shown = photos.render(spread(photos, 12), PLAIN, generator_for("cpu", "plain"))
    save_sheet(pictures / "mini_reconstructions.png", torch.cat([shown, reconstruct(shown)]), 12)
    report["clip"] = measure_clip(named, weights)
    draw_samples(weights, pictures / "mini_samples.png")
    return report


def through(vae: Any) -> Callable[[Tensor], Tensor]:
    """(B, 3, S, S) in [0, 1] -> its reconstruction."""

    @torch.no_grad()
    def reconstruct(images_01: Tensor) -> Tensor:
        decoded = vae.decode(vae.encode(images_01 * 2 - 1).latent_dist.mean).sample
        return (decoded / 2 + 0.5).clamp(0, 1)

    return reconstruct


def measure_clip(named: Corpus, weights: Path) -> dict[str, Any]:
    """Top-1 and top-5 of naming by text on held-out photos and drawings; the names, all learned, are the set's."""
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

    folder = weights / "clip"
    vision = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32).eval()
    text = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    held_out = named.part(held_out=True)
    report: dict[str, Any] = {}
    for kind in ("photo", "drawing"):
        known = named.sets[kind].class_ids.unique()
        texts = torch.stack([text_vector(text, tokenizer, captions(kind, named.classes[row]))
                             for row in known.tolist()])
        items = held_out.sets[kind]
        rows = spread(items, MOST)
        hits = among_best(image_vectors(vision, items, rows), items.class_ids[rows], texts, known)
        report[kind] = {"pictures": len(rows), "classes": len(known), "chance_top1": 1 / len(known),
                        "top1": mean_of(hits[:, 0].double()), "top5": mean_of(hits.any(1).double())}
    return report


@torch.no_grad()
def text_vector(text: Any, tokenizer: Any, sentences: list[str]) -> Tensor:
    """(D,) unit vector of a class from the sentences about it."""
    tokens = tokenizer(sentences, padding="max_length", max_length=text.config.max_position_embeddings,
                       truncation=True, return_tensors="pt")
    return name_vector(F.normalize(text(**tokens).text_embeds, dim=1))


@torch.no_grad()
def image_vectors(vision: Any, items: ItemSet, rows: Tensor) -> Tensor:
    """(N, D) unit vectors of pictures."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    parts = []
    for part in rows.split(CHUNK):
        images = items.render(part, PLAIN, generator_for("cpu", "plain"))
        parts.append(F.normalize(vision(pixel_values=(images - mean) / std).image_embeds, dim=1))
    return torch.cat(parts)


def draw_samples(weights: Path, file: Path) -> None:
    """A column of samples for each of ten names, by the stock pipeline: DDIM with guidance, seed 0."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(weights / "diffusion", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    prompts = [f"a photo of {'an' if name[0] in 'aeiou' else 'a'} {name}" for name in SAMPLED] * SAMPLES_PER_NAME
    side = pipeline.vae.config.sample_size
    images = pipeline(prompts, height=side, width=side, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
                      generator=torch.Generator().manual_seed(0), output_type="pt").images
    save_sheet(file, images, len(SAMPLED), SAMPLED)


def mean_of(values: Tensor) -> dict[str, float]:
    """Mean with the 95 % interval of a bootstrap over the pictures."""
    low, high = bootstrap_interval(values)
    return {"mean": float(values.double().mean()), "low": low, "high": high}
