"""Unit vectors of pictures and sentences, against the stock models called without any of our code."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from sketchfusion.backbones import zero_shot
from sketchfusion.backbones.patch_encoder import _feed_patches
from sketchfusion.backbones.random_weights import write_tokenizer
from sketchfusion.backbones.zero_shot import NamingModel, load_naming_model
from sketchfusion.errors import WeightsUnavailable

SENTENCES = ["a sketch of a cat", "dog", "an owl in a tree"]
STOCK = {  # name -> stock class, (mean, std) of its processor, how its text is padded
    "clip-with-text": ("CLIPModel", ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]), True),
    "siglip-with-text": ("SiglipModel", ([0.5] * 3, [0.5] * 3), "max_length"),
    "siglip2-naflex-with-text": ("Siglip2Model", ([0.5] * 3, [0.5] * 3), "max_length"),
}
LEARNED = {"logit_scale": 3.0, "logit_bias": -5.0}  # a new SigLIP has neither scale nor bias
SIDE, PATCH, TOKENS = 64, 8, 16

Folder = Callable[[str], Path]


def add_tokenizer(folder: Path) -> Path:
    """A tokenizer of single letters that fits the 64 tokens of the checkpoints; as in CLIP the end is the highest."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(f"spare{index}" for index in range(10)),
              "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def naming_folder(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Folder) -> Folder:
    """``naming_folder(name)``: the checkpoint of that name with a tokenizer, a new copy each time."""
    return lambda name: add_tokenizer(Path(shutil.copytree(encoder_folder(name), tmp_path_factory.mktemp("n") / name)))


@pytest.fixture(scope="module")
def clip_folder(naming_folder: Folder) -> Path:
    return naming_folder("clip-with-text")


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> NamingModel:
    return load_naming_model([str(clip_folder)])


@pytest.fixture(scope="module")
def images_01() -> Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def split(folder: Path, target: Path) -> Path:
    """The same CLIP saved as ``sketchfusion pretrain clip`` does: the towers apart."""
    whole = transformers.CLIPModel.from_pretrained(folder)
    size = whole.config.projection_dim
    for kind, place in (("Vision", target), ("Text", target / "text_encoder")):
        shape = getattr(whole.config, f"{kind.lower()}_config")
        shape.projection_dim = size
        tower = getattr(transformers, f"CLIP{kind}ModelWithProjection")(shape)
        tower.load_state_dict({name: whole.state_dict()[name] for name in tower.state_dict()})
        tower.save_pretrained(place)
    add_tokenizer(target / "tokenizer")
    return target


@torch.no_grad()
@pytest.mark.parametrize("name", STOCK)
def test_scaled_cosines_are_the_stock_models_logits(name: str, images_01: Tensor, naming_folder: Folder) -> None:
    folder = naming_folder(name)
    change_tensors(folder, lambda tensors: tensors.update(
        {part: torch.full_like(tensors[part], value) for part, value in LEARNED.items() if part in tensors}))
    class_name, (mean, std), padding = STOCK[name]
    stock = getattr(transformers, class_name).from_pretrained(folder).eval()
    pixels = (images_01 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    fed = _feed_patches(pixels, PATCH) if name.startswith("siglip2") else {"pixel_values": pixels}
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(SENTENCES, padding=padding, max_length=TOKENS,
                                                                truncation=True, return_tensors="pt")
    assert len({tuple(row) for row in tokens.input_ids.tolist()}) == len(SENTENCES)
    text = dict(tokens) if padding is True else {"input_ids": tokens.input_ids}
    expected = stock(**fed, **text).logits_per_image - getattr(stock, "logit_bias", torch.zeros(1))
    naming = load_naming_model([str(folder)])
    images, sentences = naming.image_vectors(images_01), naming.text_vectors(SENTENCES)
    assert naming.scale == pytest.approx(math.exp(LEARNED["logit_scale"]))
    assert naming.input_spec.size == SIDE
    torch.testing.assert_close(images.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(sentences.norm(dim=1), torch.ones(len(SENTENCES)))
    torch.testing.assert_close(images @ sentences.T * naming.scale, expected, atol=1e-4, rtol=1e-4)


def test_towers_saved_apart_give_what_they_give_together(tmp_path: Path, clip_folder: Path, clip: NamingModel,
                                                         images_01: Tensor) -> None:
    apart = load_naming_model([str(split(clip_folder, tmp_path / "apart"))])
    torch.testing.assert_close(apart.image_vectors(images_01), clip.image_vectors(images_01))
    torch.testing.assert_close(apart.text_vectors(SENTENCES), clip.text_vectors(SENTENCES))


@pytest.mark.parametrize(("noted", "scale"), [(None, 100.0), ({"metrics": {}}, 100.0), ({"logit_scale": 2.5}, 12.1825),
                                              ({"logit_scale": 7.0}, 100.0)])
def test_towers_saved_apart_take_the_noted_scale_or_clips_limit(noted: dict[str, Any] | None, scale: float,
                                                                tmp_path: Path, clip_folder: Path) -> None:
    folder = split(clip_folder, tmp_path / "apart")
    if noted is not None:
        (folder / "clip.json").write_text(json.dumps(noted))
    assert load_naming_model([str(folder)]).scale == pytest.approx(scale, rel=1e-4)


words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20)  # some are longer than the tower can read


@settings(deadline=None, max_examples=25)
@given(sentences=st.lists(words, min_size=1, max_size=6), batch=st.integers(1, 4))
def test_a_sentence_has_one_vector_alone_and_in_any_batch(sentences: list[str], batch: int, clip: NamingModel) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zero_shot, "TEXT_BATCH", batch)
        together = clip.text_vectors(sentences)
    alone = torch.cat([clip.text_vectors([sentence]) for sentence in sentences])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_case_does_not_matter_and_words_do(naming_folder: Folder) -> None:
    """Also where the tokenizer leaves the case as it is, as that of fixed-size SigLIP 2 does."""
    folder = naming_folder("siglip-with-text")
    for file, change in (("tokenizer.json", {"normalizer": None}),
                         ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})):
        (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **change}))
    lower, upper, other = load_naming_model([str(folder)]).text_vectors(["a red cat", "A Red CAT", "a red car"])
    assert torch.equal(lower, upper)
    assert not torch.allclose(lower, other)


def test_pictures_are_resized_and_normalised_as_the_preprocessor_says(naming_folder: Folder, images_01: Tensor) -> None:
    folder = naming_folder("clip-with-text")
    plain = load_naming_model([str(folder)])
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))
    told = load_naming_model([str(folder)])
    assert (told.input_spec.mean, told.input_spec.std) == (tuple(mean), tuple(std))
    same = (plain.input_spec.apply(images_01) * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1))
    torch.testing.assert_close(told.image_vectors(same), plain.image_vectors(images_01), atol=1e-5, rtol=1e-4)
    assert plain.image_vectors(torch.rand(1, 3, 100, 100)).shape == (1, 16)


def test_all_blocks_are_there_and_none_of_it_learns(clip: NamingModel, images_01: Tensor) -> None:
    assert len(clip.get_submodule("towers.vision_model.encoder.layers")) == 3  # type: ignore[arg-type]
    assert not clip.train().training
    assert not any(parameter.requires_grad for parameter in clip.parameters())
    assert not clip.image_vectors(images_01.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize(("name", "model_type"), [("clip", "clip_vision_model"), ("siglip", "siglip_vision_model"),
                                                  ("dinov2", "dinov2"), ("dinov3", "dinov3_vit")])
def test_a_checkpoint_without_a_text_tower_says_what_to_do(name: str, model_type: str, encoder_folder: Folder) -> None:
    says = rf"type '{model_type}' without a text tower.*expected one of type clip, siglip, siglip2.*recognition head"
    with pytest.raises(WeightsUnavailable, match=says):
        load_naming_model([str(encoder_folder(name))])


def test_a_checkpoint_without_a_vocabulary_is_not_given_an_empty_one(encoder_folder: Folder) -> None:
    with pytest.raises(WeightsUnavailable, match=r"holds no vocabulary \(tokenizer.json or vocab.json\)"):
        load_naming_model([str(encoder_folder("clip-with-text"))])


def test_the_tokenizer_of_another_checkpoint_is_refused(naming_folder: Folder) -> None:
    folder = naming_folder("clip-with-text")
    write_tokenizer(folder)
    with pytest.raises(WeightsUnavailable, match="gives token 513, but the text tower knows 64 tokens"):
        load_naming_model([str(folder)]).text_vectors(["cat"])


@pytest.mark.parametrize("name", ["clip-with-text", "siglip-with-text"])
def test_a_damaged_tokenizer_is_an_error_with_the_folder(name: str, naming_folder: Folder) -> None:
    folder = naming_folder(name)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsUnavailable, match=f"cannot read the tokenizer in {folder}: .*download it again"):
        load_naming_model([str(folder)])


@pytest.mark.parametrize("lost", ["text_projection.weight", "visual_projection.weight", "logit_scale"])
def test_missing_weights_are_not_made_up(lost: str, naming_folder: Folder) -> None:
    folder = naming_folder("clip-with-text")
    change_tensors(folder, lambda tensors: tensors.pop(lost))
    with pytest.raises(WeightsUnavailable, match=f"incomplete: 1 missing.*{lost}"):
        load_naming_model([str(folder)])


def test_towers_that_do_not_belong_together_are_refused(tmp_path: Path, clip_folder: Path) -> None:
    folder = split(clip_folder, tmp_path / "apart")
    shape = transformers.CLIPTextConfig.from_pretrained(folder / "text_encoder", projection_dim=24)
    transformers.CLIPTextModelWithProjection(shape).save_pretrained(folder / "text_encoder")
    with pytest.raises(WeightsUnavailable, match=r"do not belong together: .*'vision': 16, 'text_encoder': 24"):
        load_naming_model([str(folder)])


def test_no_weights_at_all_are_named_as_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="no weights for the naming model"):
        load_naming_model([str(tmp_path / "nowhere")])


def test_the_packaged_clip_has_its_own_scale_and_holds_like_sentences_near_each_other() -> None:
    naming = load_naming_model(["package:mini/clip"])
    sentences = ["a sketch of a cat", "a drawing of a cat", "a sketch of a lighthouse"]
    sketch, drawing, lighthouse = naming.text_vectors(sentences)
    assert 1 < naming.scale < zero_shot.SCALE_LIMIT
    assert sketch @ drawing > sketch @ lighthouse
