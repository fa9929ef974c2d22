"""Latents, noise levels and taps against stock diffusers and transformers models, called without any of our code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from sketchfusion.backbones.diffusion import LatentDiffusion
from sketchfusion.backbones.noise import gaussian
from sketchfusion.config import DiffusionConfig
from sketchfusion.errors import ConfigError, WeightsUnavailable
from sketchfusion.features import FeaturePyramid

SIDE = 64
KEYS = ["first", "second", "third"]
FAMILIES = ("sd1", "sd2", "sd2-v", "xl", "tiny-vae")
Folder = Callable[[str], Path]


def load(folder: Path, taps: Sequence[str] = ("up1", "up2", "up3"), **settings: Any) -> LatentDiffusion:
    config = DiffusionConfig(source=(str(folder),), **({"noise": "image"} | settings))
    return LatentDiffusion.from_config(config, taps=taps, canvas_size=SIDE)


@torch.no_grad()
def stock_prompt(folder: Path, text: str) -> tuple[Tensor, Tensor | None]:
    """The prompt's embedding (and XL's pooled one) by the stock text encoders."""
    hidden: list[Tensor] = []
    is_xl = (folder / "text_encoder_2").is_dir()
    for suffix in ("", "_2") if is_xl else ("",):
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}")
        name = "CLIPTextModelWithProjection" if suffix else "CLIPTextModel"
        encoder = getattr(transformers, name).from_pretrained(folder / f"text_encoder{suffix}").eval()
        ids = tokenizer([text], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        output = encoder(ids, output_hidden_states=True)
        hidden.append(output.hidden_states[-2] if is_xl else output.last_hidden_state)
    return torch.cat(hidden, -1), output.text_embeds if is_xl else None


@torch.no_grad()
def stock_taps(folder: Path, noisy: Tensor, timestep: int, prompt: str, unet: Any = None) -> FeaturePyramid:
    """Outputs of the up blocks and the mid block of a fresh, whole UNet, by hooks."""
    unet = unet or diffusers.UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    taps: FeaturePyramid = {}
    unet.mid_block.register_forward_hook(lambda module, inputs, output: taps.update(mid=output))
    for index, block in enumerate(unet.up_blocks, start=1):
        block.register_forward_hook(lambda module, inputs, output, name=f"up{index}": taps.update({name: output}))
    for index, block in enumerate(unet.down_blocks, start=1):
        block.register_forward_hook(lambda module, inputs, output, name=f"down{index}": taps.update({name: output[0]}))
    hidden, pooled = stock_prompt(folder, prompt)
    conditions = None if pooled is None else {
        "text_embeds": pooled.expand(len(noisy), -1),
        "time_ids": torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]]).float().expand(len(noisy), -1)}
    unet(noisy, timestep, encoder_hidden_states=hidden.expand(len(noisy), -1, -1), added_cond_kwargs=conditions)
    return taps


@torch.no_grad()
def stock_latents(folder: Path, images_01: Tensor) -> Tensor:
    if "Tiny" in (folder / "vae" / "config.json").read_text():
        vae = diffusers.AutoencoderTiny.from_pretrained(folder / "vae").eval()
        return vae.encode(images_01 * 2 - 1).latents * vae.config.scaling_factor
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae").eval()
    return vae.encode(images_01 * 2 - 1).latent_dist.mean * vae.config.scaling_factor


def stock_alphas(folder: Path) -> Tensor:
    raw = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    scheduler = getattr(diffusers, raw["_class_name"]).from_config(raw)
    return scheduler.alphas_cumprod


@pytest.fixture(scope="module")
def images_01() -> Tensor:
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FAMILIES)
def test_taps_equal_hooks_on_a_whole_stock_unet(name: str, images_01: Tensor, diffusion_folder: Folder) -> None:
    folder = diffusion_folder(name)
    model = load(folder, timesteps=(195,), prompt="a photo of [CAT]", seed=3)
    with torch.no_grad():
        latents = model.encode(images_01, KEYS)
        [found] = model.forward_taps(latents, KEYS, None)
    torch.testing.assert_close(latents, stock_latents(folder, images_01), atol=1e-5, rtol=1e-4)
    noise = torch.stack([gaussian(f"{key}:0", 3, latents.shape[1:]) for key in KEYS])
    alpha = stock_alphas(folder)[195]
    expected = stock_taps(folder, alpha.sqrt() * latents + (1 - alpha).sqrt() * noise, 195, "a photo of [CAT]")
    assert list(found) == ["up1", "up2", "up3"]
    for tap, features in found.items():
        torch.testing.assert_close(features, expected[tap], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("taps", [("down1",), ("down2", "down4"), ("mid",), ("down3", "mid", "up1"), ("up2", "up4")])
def test_any_block_can_be_tapped_and_the_rest_is_dropped(taps: tuple[str, ...], images_01: Tensor,
                                                         diffusion_folder: Folder) -> None:
    folder = diffusion_folder("sd2")
    model = load(folder, taps, noise="clean")
    with torch.no_grad():
        latents = model.encode(images_01, KEYS)
        [found] = model.forward_taps(latents, KEYS, None)
    expected = stock_taps(folder, latents, 195, "")
    assert list(found) == list(taps)
    for tap in taps:
        torch.testing.assert_close(found[tap], expected[tap], atol=1e-4, rtol=1e-4)
    whole = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet").num_parameters()
    assert sum(parameter.numel() for parameter in model.unet.parameters()) < whole


@pytest.mark.parametrize("name", ["sd2", "xl"])
def test_declared_blocks_are_what_comes_out(name: str, images_01: Tensor, diffusion_folder: Folder) -> None:
    """Channels and strides are read from the configuration; here they meet the tensors."""
    folder = diffusion_folder(name)
    names = [key for key in stock_taps(folder, stock_latents(folder, images_01[:1]), 0, "") if key]
    order = [*sorted(key for key in names if key.startswith("down")), "mid",
             *sorted(key for key in names if key.startswith("up"))]
    model = load(folder, order)
    with torch.no_grad():
        [found] = model.forward_taps(model.encode(images_01[:1], KEYS[:1]), KEYS[:1], None)
    assert list(model.blocks) == order
    for tap, info in model.blocks.items():
        assert found[tap].shape == (1, info.channels, SIDE // info.stride, SIDE // info.stride), tap


@pytest.mark.parametrize("noise", ["zero", "clean"])
def test_noise_free_passes(noise: str, images_01: Tensor, diffusion_folder: Folder) -> None:
    """"zero" leaves out epsilon alone: z_t = sqrt(abar) z_0; "clean" is z_0 itself."""
    folder = diffusion_folder("sd2")
    model = load(folder, noise=noise, num_noise_samples=5)
    with torch.no_grad():
        latents = model.encode(images_01, KEYS)
        [found] = model.forward_taps(latents, KEYS, None)
    scale = stock_alphas(folder)[195].sqrt() if noise == "zero" else 1.0
    expected = stock_taps(folder, scale * latents, 195, "")
    torch.testing.assert_close(found["up3"], expected["up3"], atol=1e-4, rtol=1e-4)


def test_noise_samples_are_averaged(images_01: Tensor, diffusion_folder: Folder) -> None:
    folder = diffusion_folder("sd2")
    model = load(folder, num_noise_samples=3, seed=7)
    with torch.no_grad():
        latents = model.encode(images_01, KEYS)
        [found] = model.forward_taps(latents, KEYS, None)
    alpha = stock_alphas(folder)[195]
    for row, key in enumerate(KEYS):
        total = torch.zeros(())
        for sample in range(3):
            noise = gaussian(f"{key}:{sample}", 7, latents.shape[1:])
            noisy = alpha.sqrt() * latents[row] + (1 - alpha).sqrt() * noise
            total = total + stock_taps(folder, noisy[None], 195, "")["up2"][0]
        torch.testing.assert_close(found["up2"][row], total / 3, atol=1e-4, rtol=1e-4)


def test_shared_noise_does_not_look_at_the_key(images_01: Tensor, diffusion_folder: Folder) -> None:
    model = load(diffusion_folder("sd2"), noise="shared")
    own = load(diffusion_folder("sd2"), noise="image")
    with torch.no_grad():
        latents = model.encode(images_01, KEYS)
        assert torch.equal(model.forward_taps(latents, KEYS, None)[0]["up1"],
                           model.forward_taps(latents, ["other"] * 3, None)[0]["up1"])
        assert not torch.allclose(own.forward_taps(latents, KEYS, None)[0]["up1"],
                                  own.forward_taps(latents, ["other"] * 3, None)[0]["up1"])


def test_each_timestep_gives_a_pyramid(images_01: Tensor, diffusion_folder: Folder) -> None:
    several = load(diffusion_folder("sd2"), timesteps=(500, 10, 195))
    latents = several.encode(images_01, KEYS)
    pyramids = several.forward_taps(latents, KEYS, None)
    assert len(pyramids) == 3
    for timestep, pyramid in zip((500, 10, 195), pyramids, strict=True):
        [alone] = load(diffusion_folder("sd2"), timesteps=(timestep,)).forward_taps(latents, KEYS, None)
        for tap, features in pyramid.items():
            torch.testing.assert_close(features, alone[tap])


@pytest.mark.parametrize("max_batch", [1, 2, 5])
def test_chunks_do_not_change_features(max_batch: int, images_01: Tensor, diffusion_folder: Folder) -> None:
    """Chunks may split the noise samples of one image."""
    whole = load(diffusion_folder("sd2"), num_noise_samples=3)
    split = load(diffusion_folder("sd2"), num_noise_samples=3, max_batch=max_batch)
    with torch.no_grad():
        latents = whole.encode(images_01, KEYS)
        for tap, features in whole.forward_taps(latents, KEYS, None)[0].items():
            torch.testing.assert_close(split.forward_taps(latents, KEYS, None)[0][tap], features, atol=1e-5, rtol=1e-4)


def test_vae_posterior_is_drawn_by_key_and_seed(images_01: Tensor, diffusion_folder: Folder) -> None:
    folder = diffusion_folder("sd2")
    mean, first, second = (load(folder, vae_sampling=kind, seed=seed)
                           for kind, seed in (("mean", 0), ("sample", 0), ("sample", 1)))
    drawn = first.encode(images_01, KEYS)
    assert torch.equal(drawn, first.encode(images_01, KEYS))
    assert not torch.allclose(drawn, second.encode(images_01, KEYS))
    torch.testing.assert_close(first.encode(images_01.flip(0), KEYS[::-1]).flip(0), drawn, atol=1e-6, rtol=1e-5)
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae").eval()
    with torch.no_grad():
        posterior = vae.encode(images_01 * 2 - 1).latent_dist
    noise = torch.stack([gaussian(f"{key}:vae", 0, drawn.shape[1:]) for key in KEYS])
    expected = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    torch.testing.assert_close(drawn, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mean.encode(images_01, KEYS), posterior.mean * vae.config.scaling_factor,
                               atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scheduler", [
    {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    {"_class_name": "DDIMScheduler", "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
    {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
     "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    {"_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012,
     "beta_schedule": "scaled_linear", "interpolation_type": "linear", "timestep_spacing": "leading"},
    {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
     "skip_prk_steps": True, "set_alpha_to_one": False},
])
def test_noise_schedule_equals_the_stock_schedulers(scheduler: dict[str, Any], tmp_path: Path,
                                                    diffusion_folder: Folder) -> None:
    folder = shutil.copytree(diffusion_folder("sd2"), tmp_path / "copy")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    expected = stock_alphas(folder)
    torch.testing.assert_close(torch.tensor(load(folder).alphas_cumprod), expected)


def test_xl_null_prompt_is_zero_where_the_checkpoint_says_so(tmp_path: Path, diffusion_folder: Folder) -> None:
    plain = load(diffusion_folder("xl"))
    folder = shutil.copytree(diffusion_folder("xl"), tmp_path / "copy")
    (folder / "model_index.json").write_text('{"force_zeros_for_empty_prompt": true}')
    forced = load(folder)
    assert plain.prompt_hidden.any()
    assert plain.prompt_pooled is not None
    assert forced.prompt_pooled is not None
    assert plain.prompt_hidden.shape == forced.prompt_hidden.shape
    assert not forced.prompt_hidden.any()
    assert not forced.prompt_pooled.any()
    assert load(folder, prompt="a cat").prompt_hidden.any()


@pytest.mark.parametrize("name", ["sd2", "xl"])
def test_another_prompt_changes_the_features_and_back_again(name: str, images_01: Tensor,
                                                            diffusion_folder: Folder) -> None:
    model = load(diffusion_folder(name))
    with torch.no_grad():
        latents = model.encode(images_01, KEYS)
        [null] = model.forward_taps(latents, KEYS, None)
        model.set_prompt("a photo of [HORSE]")
        [horse] = model.forward_taps(latents, KEYS, None)
        model.set_prompt("")
        [again] = model.forward_taps(latents, KEYS, None)
    assert not torch.allclose(null["up1"], horse["up1"])
    assert torch.equal(null["up1"], again["up1"])


def test_replacement_unet_from_one_file(tmp_path: Path, images_01: Tensor, diffusion_folder: Folder) -> None:
    """As CleanDIFT publishes it: one state dictionary in half precision, run on the clean image."""
    folder = diffusion_folder("sd2")
    torch.manual_seed(5)
    other = diffusers.UNet2DConditionModel.from_config(
        diffusers.UNet2DConditionModel.load_config(folder / "unet")).eval()
    save_file({name: value.half() for name, value in other.state_dict().items()}, tmp_path / "unet.safetensors")
    model = load(folder, unet=(str(tmp_path / "unet.safetensors"),), noise="clean", timesteps=(261,))
    latents = model.encode(images_01, KEYS)
    [found] = model.forward_taps(latents, KEYS, None)
    expected = stock_taps(folder, latents, 261, "", unet=other.half().float())
    torch.testing.assert_close(found["up3"], expected["up3"], atol=1e-4, rtol=1e-4)
    assert model.unet.dtype == torch.float32
    assert model.identity != load(folder).identity


def test_replacement_parts_from_folders(tmp_path: Path, images_01: Tensor, diffusion_folder: Folder) -> None:
    folder, donor = diffusion_folder("sd2"), diffusion_folder("tiny-vae")
    model = load(folder, vae=(str(donor),), unet=(str(donor / "unet"),))
    torch.testing.assert_close(model.encode(images_01, KEYS), stock_latents(donor, images_01), atol=1e-5, rtol=1e-4)
    assert model.vae.decoder is None


def test_a_replacement_that_does_not_fit_is_refused(tmp_path: Path, diffusion_folder: Folder) -> None:
    save_file({"conv_in.weight": torch.zeros(3)}, tmp_path / "unet.safetensors")
    with pytest.raises(WeightsUnavailable, match="does not fit the UNet"):
        load(diffusion_folder("sd2"), unet=(str(tmp_path / "unet.safetensors"),))


@pytest.mark.parametrize(("taps", "settings", "says"), [
    (("up5",), {}, "names up5, but this diffusion model has down1"),
    (("up1",), {"timesteps": (10, 1000)}, r"\[1000\] are beyond the schedule's 1000 steps"),
])
def test_settings_that_do_not_fit_are_named(taps: tuple[str, ...], settings: dict[str, Any], says: str,
                                            diffusion_folder: Folder) -> None:
    with pytest.raises(ConfigError, match=says):
        load(diffusion_folder("sd2"), taps, **settings)


@pytest.mark.parametrize("size", [66, 16])
def test_a_canvas_that_does_not_fit_is_named(size: int, diffusion_folder: Folder) -> None:
    config = DiffusionConfig(source=(str(diffusion_folder("sd2")),))
    with pytest.raises(ConfigError, match=f"canvas.size {size} must be a multiple of 4 and at least 32"):
        LatentDiffusion.from_config(config, taps=("up1",), canvas_size=size)


def test_a_canvas_between_the_unets_strides_works(images_01: Tensor, diffusion_folder: Folder) -> None:
    """68 / 4 = 17 latent cells: odd grids at every level, as 336 px gives SD 2.1."""
    config = DiffusionConfig(source=(str(diffusion_folder("sd2")),))
    model = LatentDiffusion.from_config(config, taps=("up1", "up2", "up3"), canvas_size=68)
    [found] = model.forward_taps(model.encode(torch.rand(1, 3, 68, 68), ["key"]), ["key"], None)
    assert [features.shape[-1] for features in found.values()] == [5, 9, 17]


@pytest.mark.parametrize("file", ["vae/config.json", "unet/config.json", "text_encoder/config.json",
                                  "scheduler/scheduler_config.json", "tokenizer/tokenizer.json"])
@pytest.mark.parametrize("damage", ["cut off", "gone"])
def test_damaged_or_missing_small_files_are_named(file: str, damage: str, tmp_path: Path,
                                                  diffusion_folder: Folder) -> None:
    """A tokenizer without its vocabulary would otherwise encode every prompt as nothing."""
    folder = shutil.copytree(diffusion_folder("sd2"), tmp_path / "copy")
    if damage == "gone":
        (folder / file).unlink()
    else:
        (folder / file).write_text('{"cut')
    with pytest.raises(WeightsUnavailable, match=file.split("/")[0]):
        load(folder)


def test_xl_without_its_second_text_encoder_is_refused(tmp_path: Path, diffusion_folder: Folder) -> None:
    folder = shutil.copytree(diffusion_folder("xl"), tmp_path / "copy")
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(WeightsUnavailable, match="two text encoders"):
        load(folder)


def test_half_precision_files_load_as_single(tmp_path: Path, diffusion_folder: Folder) -> None:
    folder = shutil.copytree(diffusion_folder("sd2"), tmp_path / "copy")
    for name, kind in (("unet", diffusers.UNet2DConditionModel), ("vae", diffusers.AutoencoderKL)):
        half = kind.from_pretrained(folder / name).half()
        shutil.rmtree(folder / name)
        half.save_pretrained(folder / name)
    model = load(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_identity_tells_checkpoints_and_schedules_apart(tmp_path: Path, diffusion_folder: Folder) -> None:
    folder = diffusion_folder("sd2")
    mirror = shutil.copytree(folder, tmp_path / "mirror")
    assert load(mirror).identity == load(folder).identity
    schedule = mirror / "scheduler" / "scheduler_config.json"
    schedule.write_text(schedule.read_text().replace("0.012", "0.02"))
    assert load(mirror).identity != load(folder).identity
    assert len({load(diffusion_folder(name)).identity for name in ("sd1", "sd2", "xl", "tiny-vae")}) == 4
