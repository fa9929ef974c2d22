"""The whole extractor: what learns, what stays, and that a feature belongs to its picture alone."""

from __future__ import annotations

import ast
import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import sketchfusion
from sketchfusion.canvas import make_canvas
from sketchfusion.config import ExtractorConfig, load_preset
from sketchfusion.errors import ConfigError, ImageError
from sketchfusion.fusion.extractor import SketchFusion

Make = Callable[..., SketchFusion]
LEARNS = ("injector.", "aggregator.")
ENCODERS = ("clip", "clip-with-text", "dinov2", "dinov2-registers", "dinov3", "siglip", "siglip-with-text",
            "siglip2-naflex", "siglip2-naflex-with-text")
DIFFUSION = ("sd1", "sd2", "sd2-v", "xl", "tiny-vae")


@pytest.fixture
def images_01() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("init", ["zero", "torch"])
@pytest.mark.parametrize("skips", [False, True])
def test_exactly_injection_and_aggregation_learn(init: str, skips: bool, images_01: Tensor, make_tiny: Make) -> None:
    """Every parameter of theirs gets a gradient that is not zero, also from the zero start; no other gets any.

    The heads have no part in the features: they learn from the losses of their tasks.
    """
    model = make_tiny(f"injection.init={init}", f"injection.skips={skips}", "diffusion.timesteps=[50,195]").train()
    model(images_01).feature_map.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == name.startswith((*LEARNS, "heads.")), name
        if name.startswith(LEARNS):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name
    assert {name.partition(".")[0] + "." for name in model.learned(heads=False)} == set(LEARNS)
    assert {name.partition(".")[0] + "." for name in model.learned()} == {*LEARNS, "heads."}


def test_the_descriptor_alone_reaches_every_learned_part(images_01: Tensor, make_tiny: Make) -> None:
    model = make_tiny()
    (model(images_01).descriptor * torch.randn(64)).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith(LEARNS), name


def test_frozen_stays_frozen_through_training(images_01: Tensor, make_tiny: Make) -> None:
    """An optimiser given *all* parameters, and ``.train()``, change nothing in the backbones."""
    model = make_tiny("injection.init=torch", "aggregation.dropout=0.5").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.aggregator.training
    assert not any(module.training for part in (model.encoder, model.diffusion) for module in part.modules())
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    model(images_01).feature_map.square().mean().backward()
    optimiser.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(LEARNS), name


@torch.no_grad()
def test_zero_injection_equals_plain_diffusion_features_bit_for_bit(images_01: Tensor, make_tiny: Make) -> None:
    for skips in (False, True):
        model, keys = make_tiny(f"injection.skips={skips}"), ["a", "b"]
        latents = model.diffusion.encode(images_01, keys)
        injection = model.injector(model.encoder.patch_features(images_01))
        [plain] = model.diffusion.forward_taps(latents, keys, None)
        [injected] = model.diffusion.forward_taps(latents, keys, injection)
        for tap, features in plain.items():
            assert torch.equal(injected[tap], features)


@torch.no_grad()
def test_learned_injection_changes_the_features(images_01: Tensor, make_tiny: Make) -> None:
    """The skips carry it only where asked: the two kinds differ from the first up block on."""
    plain, added, in_skips = (make_tiny(*settings)(images_01).feature_map for settings in (
        (), ("injection.init=torch",), ("injection.init=torch", "injection.skips=true")))
    assert not torch.allclose(plain, added, atol=1e-4)
    assert not torch.allclose(added, in_skips, atol=1e-4)


@pytest.mark.parametrize("settings", [
    (), ("diffusion.noise=image", "diffusion.num_noise_samples=3", "diffusion.max_batch=4"),
    ("diffusion.noise=image", "diffusion.vae_sampling=sample", "injection.init=torch")])
def test_a_feature_does_not_depend_on_its_batch(settings: tuple[str, ...], pictures: list[Image.Image],
                                                make_tiny: Make) -> None:
    """Alone, among seven, at any position, in any batch size."""
    model = make_tiny(*settings)
    alone = torch.cat([model.describe(picture) for picture in pictures])
    torch.testing.assert_close(model.describe(pictures), alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.describe(pictures, batch_size=3), alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.describe(pictures[::-1]), alone.flip(0), atol=1e-5, rtol=1e-4)
    for position in range(7):
        others = [pictures[0]] * 7
        others[position] = pictures[4]
        torch.testing.assert_close(model.describe(others)[position], alone[4], atol=1e-5, rtol=1e-4)
    dense = model.features(pictures)
    torch.testing.assert_close(dense.feature_map[2], model.features(pictures[2]).feature_map[0], atol=1e-4, rtol=1e-3)


def test_a_copy_saved_again_is_nearer_than_any_other_photo(pictures: list[Image.Image], tiny_model: SketchFusion,
                                                           tmp_path: Path) -> None:
    """A few pixels of another value must not draw other noise: that is why it is shared by default."""
    pictures[0].save(tmp_path / "again.jpg", quality=60)
    scores = tiny_model.describe(tmp_path / "again.jpg") @ tiny_model.describe(pictures).T
    assert scores.argmax() == 0


def test_a_copy_of_a_model_is_a_model(pictures: list[Image.Image], tiny_model: SketchFusion) -> None:
    twin = copy.deepcopy(tiny_model)
    torch.testing.assert_close(twin.describe(pictures[0]), tiny_model.describe(pictures[0]), atol=1e-5, rtol=1e-4)


def test_sketches_are_read_as_sketches_are(tmp_path: Path, tiny_model: SketchFusion) -> None:
    """SVG by path; what is blank on white paper is refused, whatever it came from."""
    (tmp_path / "house.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20">'
                                        '<path d="M2 18V8l8-6 8 6v10z" fill="none" stroke="black"/></svg>')
    assert tiny_model.describe(tmp_path / "house.svg", kind="sketch").norm() == pytest.approx(1)
    white_ink = Image.new("RGBA", (30, 30), (255, 255, 255, 0))
    white_ink.paste((255, 255, 255, 255), (5, 5, 20, 9))
    white_ink.save(tmp_path / "white.png")
    for blank in (white_ink, tmp_path / "white.png", torch.ones(3, 20, 20)):
        with pytest.raises(ImageError, match="blank"):
            tiny_model.describe(blank, kind="sketch")


def test_a_prompt_set_later_is_among_the_overrides(tmp_path: Path, make_tiny: Make) -> None:
    """So that whoever loads the model again by name and overrides, as a gallery does, gets the same one."""
    model = make_tiny("diffusion.prompt=a: b", "encoder.layer=-1")
    model.set_prompt("a photo of a cat: yes")
    assert make_tiny(*model.overrides).fingerprint == model.fingerprint


@pytest.mark.thorough
def test_another_process_gives_the_same_feature(photo_folder: Path, tiny_model: SketchFusion) -> None:
    photo = photo_folder / "photo0.jpg"
    code = ("import sys; from sketchfusion import SketchFusion\n"
            "print(SketchFusion.from_pretrained('tiny', device='cpu').describe(sys.argv[1])[0].tolist())")
    output = subprocess.run([sys.executable, "-c", code, str(photo)], capture_output=True, text=True, check=True)
    found = torch.tensor(ast.literal_eval(output.stdout))
    torch.testing.assert_close(found, tiny_model.describe(photo)[0], atol=1e-5, rtol=1e-4)


class Described(Dataset[Tensor]):
    """Runs the model inside whichever worker asks."""

    def __init__(self, model: SketchFusion, pictures: list[Image.Image]) -> None:
        self.model, self.pictures = model, pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.model.describe(self.pictures[index])[0]


def test_workers_give_the_same_features(pictures: list[Image.Image], tiny_model: SketchFusion) -> None:
    loader = DataLoader(Described(tiny_model, pictures), batch_size=2, num_workers=2, multiprocessing_context="fork")
    torch.testing.assert_close(torch.cat(list(loader)), tiny_model.describe(pictures), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("diffusion", "encoder"), [*((name, "clip") for name in DIFFUSION),
                                                    *(("sd2", name) for name in ENCODERS[1:])])
def test_every_family_runs_through_the_same_code(diffusion: str, encoder: str, images_01: Tensor,
                                                 diffusion_folder: Callable[[str], Path],
                                                 encoder_folder: Callable[[str], Path]) -> None:
    config = ExtractorConfig.model_validate({
        "canvas": {"size": 64}, "diffusion": {"source": [str(diffusion_folder(diffusion))]},
        "encoder": {"source": [str(encoder_folder(encoder))]}, "injection": {"init": "torch"},
        "aggregation": {"grid_size": 12, "out_channels": 32, "norm_groups": 4}})
    model = SketchFusion.from_config(config)
    found = model(images_01)
    assert found.feature_map.shape == (2, 32, 12, 12)
    torch.testing.assert_close(found.descriptor.norm(dim=-1), torch.ones(2))
    found.feature_map.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0
               for name, parameter in model.named_parameters() if name.startswith(LEARNS))


def test_the_aggregation_sees_one_pyramid_per_timestep(make_tiny: Make, images_01: Tensor) -> None:
    model = make_tiny("diffusion.timesteps=[10,195,500]")
    assert model.aggregator.branch_weights.shape == (3, 3)
    latents = model.diffusion.encode(images_01, ["a", "b"])
    injection = model.injector(model.encoder.patch_features(images_01))
    pyramids = model.diffusion.forward_taps(latents, ["a", "b"], injection)
    expected = sum(model.aggregator.branch(tap, pyramid[tap]) for pyramid in pyramids for tap in pyramid) / 9
    torch.testing.assert_close(model(images_01, keys=["a", "b"]).feature_map, expected, atol=1e-5, rtol=1e-4)


def test_padding_is_not_pooled(draw_picture: Callable[[tuple[int, int], int], Image.Image],
                               tiny_model: SketchFusion) -> None:
    """The descriptor is the maximum over the cells of the picture, not over the bars above and below it."""
    canvas = make_canvas([draw_picture((80, 20), 1)], 64, (124, 116, 104))
    assert canvas.content.tolist() == [[0, 24, 64, 40]]
    features = tiny_model.features_of(canvas)
    own_cells = features.feature_map[0, :, 6:10]        # rows 24..40 of 64 on a grid of 16
    expected = own_cells.flatten(1).amax(1)
    torch.testing.assert_close(features.descriptor[0], expected / expected.norm(), atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        everything = tiny_model(canvas.images_01).descriptor[0]
    assert not torch.allclose(everything, features.descriptor[0], atol=1e-4)


def test_kind_decides_the_padding(draw_picture: Callable[[tuple[int, int], int], Image.Image],
                                  tiny_model: SketchFusion) -> None:
    wide, square = draw_picture((80, 30), 1), draw_picture((64, 64), 1)
    assert not torch.allclose(tiny_model.describe(wide), tiny_model.describe(wide, kind="sketch"))
    assert torch.equal(tiny_model.describe(square), tiny_model.describe(square, kind="sketch"))
    with pytest.raises(ConfigError, match="unknown kind of picture 'drawing'; expected photo or sketch"):
        tiny_model.describe(wide, kind="drawing")  # type: ignore[arg-type]


def test_describe_and_features_agree(pictures: list[Image.Image], tiny_model: SketchFusion) -> None:
    features = tiny_model.features(pictures[:2])
    assert features.feature_map.shape == (2, 64, 16, 16)
    assert torch.equal(features.descriptor, tiny_model.describe(pictures[:2]))
    assert not features.feature_map.requires_grad


@pytest.mark.parametrize("nothing", [[], None, [None], 3])
def test_no_picture_is_an_error(nothing: object, tiny_model: SketchFusion) -> None:
    with pytest.raises(ImageError, match="expected"):
        tiny_model.describe(nothing)  # type: ignore[arg-type]


def test_a_tensor_of_another_size_is_refused(tiny_model: SketchFusion) -> None:
    with pytest.raises(ConfigError, match=r"expects \(B, 3, 64, 64\) for this model, got \(1, 3, 65, 64\)"):
        tiny_model(torch.rand(1, 3, 65, 64))


def test_fusion_starts_the_same_for_the_same_seed(make_tiny: Make) -> None:
    torch.manual_seed(1)
    first = make_tiny("injection.init=torch")
    torch.manual_seed(2)
    second, third = make_tiny("injection.init=torch"), make_tiny("injection.init=torch", "diffusion.seed=1")
    assert all(torch.equal(value, second.learned()[name]) for name, value in first.learned().items())
    assert not all(torch.equal(value, third.learned()[name]) for name, value in first.learned().items())


def test_fingerprint_follows_everything_that_shapes_a_feature(make_tiny: Make) -> None:
    fingerprint = make_tiny().fingerprint
    assert make_tiny().fingerprint == fingerprint
    assert make_tiny("diffusion.max_batch=3").fingerprint == fingerprint
    for setting in ("diffusion.seed=1", "diffusion.timesteps=[196]", "encoder.layer=-1", "descriptor.pooling=gem",
                    "canvas.sketch_padding=[0,0,0]", "diffusion.prompt=a cat"):
        assert make_tiny(setting).fingerprint != fingerprint, setting
    changed = make_tiny()
    with torch.no_grad():
        changed.injector.projections["up1"].bias[0] = 1e-6
    assert changed.fingerprint != fingerprint


def test_set_prompt_changes_features_settings_and_fingerprint(pictures: list[Image.Image], make_tiny: Make) -> None:
    model = make_tiny()
    before, fingerprint = model.describe(pictures[0]), model.fingerprint
    model.set_prompt("a photo of [CAT]")
    assert not torch.allclose(model.describe(pictures[0]), before)
    assert model.config.diffusion.prompt == "a photo of [CAT]"
    assert model.fingerprint == make_tiny("diffusion.prompt=a photo of [CAT]").fingerprint != fingerprint


def test_nothing_is_detached_inside_the_modules() -> None:
    """A detached feature is how the released code's injection stopped learning. Hashing and saving may."""
    root = Path(sketchfusion.__file__).parent
    allowed = {"content_keys", "save", "learned_digest"}
    for file in (*(root / "fusion").glob("*.py"), *(root / "backbones").glob("*.py")):
        if file.name == "compact_map.py":  # what galleries keep of a finished map
            continue
        for function in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)):
            uses = [node for node in ast.walk(function) if isinstance(node, ast.Attribute) and node.attr == "detach"]
            assert not uses or function.name in allowed, f"{file.name}: {function.name}"


def test_presets_with_published_weights_say_what_is_missing() -> None:
    for name in ("sd15-clip-l14", "sd21-clip-l14", "sdxl-clip-l14"):
        with pytest.raises(sketchfusion.SketchFusionError, match="no weights for the diffusion model"):
            SketchFusion.from_config(load_preset(name).extractor)


def test_even_ink_is_a_setting_for_sketches_alone(make_tiny: Callable[..., SketchFusion], sketch_file: Path) -> None:
    plain, even = make_tiny(), make_tiny("canvas.ink=even")
    faint = Image.open(sketch_file).convert("L").point(lambda value: 255 - (255 - value) // 2)
    assert even.read(faint, "sketch").pixels.min() < plain.read(faint, "sketch").pixels.min()
    assert torch.equal(even.read(faint, "sketch").pixels, even.place(faint.convert("RGB"), "sketch").pixels)
    assert torch.equal(even.read(faint, "photo").pixels, plain.read(faint, "photo").pixels)
    assert even.fingerprint != plain.fingerprint
