"""Naming pictures by text: a CLIP or SigLIP in one piece, with the text tower that the patch encoder leaves out.

The extractor frees the text tower, the projections and the blocks after the chosen one, so this is a second, whole copy
of the checkpoint, for as long as its user keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchfusion.backbones.base import Frozen
from sketchfusion.backbones.loading import StockModel, load_transformer, quietly, read_json
from sketchfusion.backbones.patch_encoder import FAMILIES, PATTERNS, Family, native_size
from sketchfusion.backbones.prompts import VOCABULARIES
from sketchfusion.backbones.weights import resolve
from sketchfusion.canvas import InputSpec
from sketchfusion.errors import WeightsUnavailable

TEXT_ENCODER, TOKENIZER, RECORD = "text_encoder", "tokenizer", "clip.json"
TOKENIZER_FILES = (*VOCABULARIES, "merges.txt", "spiece.model", "tokenizer.model", "tokenizer_config.json",
                   "special_tokens_map.json")
WHOLE = (*PATTERNS, *TOKENIZER_FILES, RECORD, f"{TEXT_ENCODER}/*.json", f"{TEXT_ENCODER}/*.safetensors",
         f"{TOKENIZER}/*")
SCALE_LIMIT = 100.0  # CLIP's training holds the scale below this, and its published checkpoints arrived there
TEXT_BATCH = 256  # sentences that pass the text tower together


@dataclass(frozen=True)
class TextFamily:
    """How the two towers of one family are loaded and its sentences fed.

    Attributes:
        model_class, tokenizer_class: names of the stock classes in transformers.
        padding: as its tokenizer is told; CLIP reads up to the end of a sentence, SigLIP learned with all tokens.
    """

    model_class: str
    tokenizer_class: str
    padding: str


CLIP = TextFamily("CLIPModel", "CLIPTokenizer", "longest")
TEXT_FAMILIES = {  # by the model_type of a checkpoint with both towers
    "clip": CLIP,
    "siglip": TextFamily("SiglipModel", "AutoTokenizer", "max_length"),
    "siglip2": TextFamily("Siglip2Model", "AutoTokenizer", "max_length"),
}


class SplitTowers(nn.Module):
    """The two towers of a CLIP that were saved apart, with the methods of ``CLIPModel``."""

    def __init__(self, vision: StockModel, text: StockModel) -> None:
        """
        Args:
            vision, text: stock towers with projection.
        Raises:
            WeightsUnavailable: they project to different sizes.
        """
        super().__init__()
        sizes = {"vision": int(vision.config.projection_dim), TEXT_ENCODER: int(text.config.projection_dim)}
        if len(set(sizes.values())) > 1:
            raise WeightsUnavailable(f"the towers of this CLIP do not belong together: they project to {sizes}; "
                                     "download the checkpoint again")
        self.vision, self.text = vision, text

    def get_image_features(self, **pixels: Any) -> Tensor:
        """(B, P), not normalised."""
        features: Tensor = self.vision(**pixels).image_embeds
        return features

    def get_text_features(self, input_ids: Tensor) -> Tensor:
        """(T, P), not normalised."""
        features: Tensor = self.text(input_ids=input_ids).text_embeds
        return features


class NamingModel(Frozen):
    """Pictures and sentences as unit vectors of one space, in float32.

    Attributes:
        input_spec: what its vision tower is fed: at the size that it was trained with.
        scale: what cosines are multiplied by before a softmax over names.
    """

    def __init__(self, towers: StockModel, tokenizer: Any, family: TextFamily, images: Family, spec: InputSpec, *,
                 patch: int, text_shape: Any, scale: float) -> None:
        """
        Args:
            towers: ``CLIPModel``, or anything with its ``get_image_features`` and ``get_text_features``.
            images: the row of its vision tower.
            patch: side of its patches in pixels.
            text_shape: configuration of its text tower.
        """
        super().__init__()
        self.towers, self.tokenizer, self.family, self.images = towers, tokenizer, family, images
        self.input_spec, self.patch, self.scale = spec, patch, scale
        self.length = min(int(tokenizer.model_max_length), int(text_shape.max_position_embeddings))
        self.vocabulary_size = int(text_shape.vocab_size)
        self.freeze()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.parameters()).device

    @torch.no_grad()
    def image_vectors(self, images_01: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, P) unit vectors; resizes and normalises by ``input_spec`` itself."""
        pixels = self.input_spec.apply(images_01.to(self.device).float())
        return F.normalize(pooled(self.towers.get_image_features(**self.images.feed(pixels, self.patch))), dim=1)

    @torch.no_grad()
    def text_vectors(self, sentences: Sequence[str]) -> Tensor:
        """T sentences -> (T, P) unit vectors; what is longer than the text tower can read is cut off.

        Raises:
            WeightsUnavailable: the tokenizer belongs to another text tower.
        """
        parts = [F.normalize(pooled(self.towers.get_text_features(input_ids=self._tokens(part))), dim=1)
                 for part in (sentences[start:start + TEXT_BATCH] for start in range(0, len(sentences), TEXT_BATCH))]
        return torch.cat(parts)

    def _tokens(self, sentences: Sequence[str]) -> Tensor:
        """(T, L) token ids. All was learned in lower case, and SigLIP 2's tokenizer leaves that to its caller."""
        ids: Tensor = self.tokenizer([sentence.lower() for sentence in sentences], padding=self.family.padding,
                                     max_length=self.length, truncation=True, return_tensors="pt").input_ids
        if int(ids.max()) >= self.vocabulary_size:
            raise WeightsUnavailable(f"the tokenizer gives token {int(ids.max())}, but the text tower knows "
                                     f"{self.vocabulary_size} tokens; download the tokenizer of this checkpoint")
        return ids.to(self.device)


def pooled(features: Any) -> Tensor:
    """The projected vectors: transformers hands them over inside of an output."""
    vectors: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return vectors


def load_naming_model(sources: Sequence[str], *, device: torch.device | str = "cpu") -> NamingModel:
    """The whole model in the first place that has the weights: CLIP or SigLIP, with its text tower.

    Two layouts are read: the hub's, where one folder holds both towers and the tokenizer, and that of ``mini``, a CLIP
    vision tower with ``text_encoder/`` and ``tokenizer/`` below it.

    Args:
        sources: places in order of preference, as in ``encoder.source``.
    Raises:
        WeightsUnavailable: nowhere found, incomplete, or a checkpoint without a text tower.
    """
    folder = resolve(sources, what="naming model (patch encoder with its text tower)", patterns=WHOLE)
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type in TEXT_FAMILIES:
        return _in_one_piece(folder, str(model_type)).to(device)
    if model_type == "clip_vision_model" and (folder / TEXT_ENCODER).is_dir():
        return _in_two_pieces(folder).to(device)
    raise WeightsUnavailable(
        f"{folder} holds a model of type {model_type!r} without a text tower, so it cannot name pictures by labels; "
        f"expected one of type {', '.join(TEXT_FAMILIES)}, or a CLIP vision tower with {TEXT_ENCODER}/ and "
        f"{TOKENIZER}/ beside it. Take a preset with such an encoder (`sketchfusion list`), or train a recognition "
        "head with `sketchfusion train` and give no labels")


def _in_one_piece(folder: Path, model_type: str) -> NamingModel:
    family, images = TEXT_FAMILIES[model_type], FAMILIES[model_type]
    tokenizer = _load_tokenizer(folder, family.tokenizer_class)
    model = load_transformer(family.model_class, folder)
    shape = model.config.vision_config
    return NamingModel(model, tokenizer, family, images, _input_spec(folder, images, shape),
                       patch=int(shape.patch_size), text_shape=model.config.text_config,
                       scale=model.logit_scale.exp().item())


def _in_two_pieces(folder: Path) -> NamingModel:
    tokenizer, images = _load_tokenizer(folder / TOKENIZER, CLIP.tokenizer_class), FAMILIES["clip_vision_model"]
    vision = load_transformer("CLIPVisionModelWithProjection", folder)
    text = load_transformer("CLIPTextModelWithProjection", folder / TEXT_ENCODER)
    return NamingModel(SplitTowers(vision, text), tokenizer, CLIP, images, _input_spec(folder, images, vision.config),
                       patch=int(vision.config.patch_size), text_shape=text.config, scale=_recorded_scale(folder))


def _input_spec(folder: Path, images: Family, shape: Any) -> InputSpec:
    file = folder / "preprocessor_config.json"
    processor = read_json(file) if file.is_file() else {}
    return InputSpec(native_size(shape), tuple(processor.get("image_mean") or images.mean),
                     tuple(processor.get("image_std") or images.std))


def _recorded_scale(folder: Path) -> float:
    """Two towers hold no scale: the one that ``sketchfusion pretrain clip`` noted beside them, else CLIP's limit."""
    file = folder / RECORD
    noted = read_json(file).get("logit_scale") if file.is_file() else None
    return SCALE_LIMIT if noted is None else min(math.exp(float(noted)), SCALE_LIMIT)


def _load_tokenizer(folder: Path, class_name: str) -> Any:
    import transformers

    if not any((folder / file).is_file() for file in VOCABULARIES):  # transformers would make up an empty one
        raise WeightsUnavailable(f"{folder} holds no vocabulary ({' or '.join(VOCABULARIES)}), which naming by labels "
                                 "needs; download the whole checkpoint with its tokenizer, e.g. with `hf download`")
    try:
        with quietly():
            return getattr(transformers, class_name).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # of many types: a damaged file, or a library that is not installed
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise WeightsUnavailable(f"cannot read the tokenizer in {folder}: {reason}; download it again, or install what "
                                 "it asks for") from None
