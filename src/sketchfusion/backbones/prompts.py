"""Prompts into the UNet's conditioning (paper Sec. 5.1: T(""), the null prompt).

The text encoders are needed for a moment: a prompt is encoded once, kept as a few kilobytes, and the encoders are
freed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sketchfusion.backbones.loading import load_transformer, read_json
from sketchfusion.errors import WeightsUnavailable

TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
VOCABULARIES = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True)
class PromptEmbeds:
    """What one prompt gives: hidden (1, L, C), and pooled (1, P) where the UNet wants it (XL)."""

    hidden: Tensor
    pooled: Tensor | None = None


@torch.no_grad()
def encode_prompt(folder: Path, prompt: str, *, wants_pooled: bool, variant: str | None = None) -> PromptEmbeds:
    """The embedding of a prompt by the checkpoint's own text encoder(s), loaded for this call only.

    The stock recipes: SD 1.x and 2.x take the last hidden state; XL concatenates the penultimate hidden states of its
    two encoders and pools with the second. XL's null prompt is all zeros where the checkpoint says so.

    Args:
        folder: the checkpoint, with ``text_encoder/`` and ``tokenizer/`` (and ``..._2`` for XL).
        prompt: any text; "" is the null prompt.
        wants_pooled: whether the UNet is of the XL kind.
    Raises:
        WeightsUnavailable: an encoder or tokenizer is missing.
    """
    names = [name for name in TEXT_ENCODERS if (folder / name).is_dir()]
    if not names:
        raise WeightsUnavailable(f"{folder} has no text_encoder/ folder, which the prompt {prompt!r} needs; "
                                 "download the checkpoint with its text encoder and tokenizer")
    outputs = [_encode_with(folder, name, prompt, variant) for name in names]
    if wants_pooled and len(outputs) < len(TEXT_ENCODERS):
        raise WeightsUnavailable(f"{folder} has {names[0]}/ alone, but this UNet is conditioned on two text encoders; "
                                 "download the checkpoint again")
    if not wants_pooled:
        return PromptEmbeds(outputs[0].last_hidden_state)
    embeds = PromptEmbeds(torch.cat([output.hidden_states[-2] for output in outputs], dim=-1), outputs[-1].text_embeds)
    if prompt == "" and _zeros_for_null(folder):
        return PromptEmbeds(torch.zeros_like(embeds.hidden), torch.zeros_like(outputs[-1].text_embeds))
    return embeds


def _encode_with(folder: Path, name: str, prompt: str, variant: str | None) -> Any:
    from transformers import CLIPTokenizer

    tokenizer_folder = folder / name.replace("text_encoder", "tokenizer")
    if not any((tokenizer_folder / file).is_file() for file in VOCABULARIES):  # transformers would make up an empty one
        raise WeightsUnavailable(f"{tokenizer_folder} holds no vocabulary ({' or '.join(VOCABULARIES)}); download the "
                                 "checkpoint again")
    try:
        tokenizer = CLIPTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"cannot read the tokenizer in {tokenizer_folder}: {error}; "
                                 "download it again") from None
    class_name = read_json(folder / name / "config.json").get("architectures", ["CLIPTextModel"])[0]
    encoder = load_transformer(class_name, folder / name, variant=variant)
    length = min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings))
    tokens = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return encoder(tokens.input_ids, output_hidden_states=True)


def _zeros_for_null(folder: Path) -> bool:
    index = folder / "model_index.json"
    return index.is_file() and bool(read_json(index).get("force_zeros_for_empty_prompt", False))
