"""What the UNet learns from, made once: latents of every picture in several views, hidden states of every caption."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sketchfusion.backbones.loading import StockModel, load_transformer
from sketchfusion.data.packed.augment import PLAIN, ViewConfig
from sketchfusion.data.packed.corpus import Corpus
from sketchfusion.data.packed.names import captions
from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.errors import WeightsUnavailable
from sketchfusion.pretrain.clip import TEXT_ENCODER, TOKENIZER

CHUNK = 128


@dataclass(frozen=True)
class LatentSet:
    """Latents of one kind.

    Attributes:
        latents: (V, N, 4, h, w) half precision, scaled to a standard deviation of about 1; V views of each picture.
        captions: (N, T) row of ``TextTable.hidden`` of each sentence about each picture.
    """

    latents: Tensor
    captions: Tensor


@torch.no_grad()
def encode_views(vae: StockModel, corpus: Corpus, kind: str, view: ViewConfig, *, views: int, seed: int) -> Tensor:
    """(V, N, 4, h, w) half-precision latents of every picture of a kind; every other view is mirrored.

    Args:
        vae: with its ``scaling_factor``.
        view: augmentation; ``PLAIN`` and one view for held-out pictures.
    """
    items = corpus.sets[kind]
    rows = torch.arange(len(items.class_ids), device=items.class_ids.device)
    encoded = []
    for number in range(views):
        shown = view if view == PLAIN else view.model_copy(update={"flip": float(number % 2)})
        parts = []
        for index, part in enumerate(rows.split(CHUNK)):
            images = items.render(part, shown, generator_for(part.device, seed, kind, "latents", number, index))
            mean = vae.encode((images * 2 - 1).to(vae.dtype)).latent_dist.mean
            parts.append((mean * vae.config.scaling_factor).half())
        encoded.append(parts)
    with torch.autocast(rows.device.type, enabled=False):  # joins no half precision where it computes in bfloat16
        return torch.stack([torch.cat(parts) for parts in encoded])


class TextTable:
    """The hidden states of the captions of all classes that are needed, and of the null prompt in row 0.

    Attributes:
        hidden: (rows, L, C).
    """

    def __init__(self, clip: Path, device: torch.device) -> None:
        """Load the text encoder. Raises WeightsUnavailable: the folder is not one that ``pretrain clip`` wrote."""
        from transformers import CLIPTokenizer

        if not (clip / TOKENIZER).is_dir() or not (clip / TEXT_ENCODER).is_dir():
            raise WeightsUnavailable(f"{clip} has no {TEXT_ENCODER}/ and {TOKENIZER}/; give the folder clip/ that "
                                     "`sketchfusion pretrain clip` wrote")
        self.tokenizer = CLIPTokenizer.from_pretrained(clip / TOKENIZER, local_files_only=True)
        self.encoder = load_transformer("CLIPTextModel", clip / TEXT_ENCODER).to(device)
        self.hidden = self.encode([""])

    @torch.no_grad()
    def encode(self, texts: list[str]) -> Tensor:
        """(N, L, C) last hidden states."""
        length = int(self.encoder.config.max_position_embeddings)
        tokens = self.tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        ids = tokens.input_ids.to(self.encoder.device)
        return torch.cat([self.encoder(part).last_hidden_state for part in ids.split(CHUNK)])

    def rows_of(self, kind: str, class_ids: Tensor, classes: tuple[str, ...]) -> Tensor:
        """(N,) classes -> (N, T) rows of the sentences about them, which are encoded now."""
        present, place = class_ids.unique(return_inverse=True)
        sentences = [captions(kind, classes[index]) for index in present.tolist()]
        first = len(self.hidden)
        self.hidden = torch.cat([self.hidden, self.encode([text for row in sentences for text in row])])
        per_class = len(sentences[0])
        rows: Tensor = first + place[:, None] * per_class + torch.arange(per_class, device=place.device)
        return rows
