"""The frozen latent diffusion model: image -> latents -> noisy latents -> one UNet pass -> taps (paper Sec. 3.2, 5.1).

Any diffusers checkpoint of the SD 1.x, 2.x or XL family. What the UNet predicts (noise or velocity) does not matter
here: its inside is read and its prediction is never computed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sketchfusion.backbones.base import DenoisingBackbone, Injection
from sketchfusion.backbones.diffusion_parts import (
    PATTERNS,
    POSTERIOR,
    alphas_cumprod,
    load_unet,
    load_vae,
    read_schedule,
)
from sketchfusion.backbones.loading import StockModel
from sketchfusion.backbones.noise import gaussian, noise_samples
from sketchfusion.backbones.prompts import TEXT_ENCODERS, PromptEmbeds, encode_prompt
from sketchfusion.backbones.unet import check_names, drop_blocks_after, named_blocks, visiting
from sketchfusion.backbones.weights import fingerprint, resolve
from sketchfusion.canvas import InputSpec
from sketchfusion.config import DiffusionConfig, digest
from sketchfusion.errors import ConfigError, WeightsUnavailable
from sketchfusion.features import FeatureInfo, FeaturePyramid


class HooksLock:
    """Hooks belong to a module, so one pass at a time may hold them. A copy of the module gets a lock of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[HooksLock], tuple[()]]:
        return HooksLock, ()


class LatentDiffusion(DenoisingBackbone):
    """Taps of a stock UNet at chosen timesteps, averaged over noise samples."""

    folder: Path | None = None  # the checkpoint, where it was loaded from one
    prompt_hidden: Tensor
    prompt_pooled: Tensor | None

    def __init__(self, unet: StockModel, vae: StockModel, alphas_cumprod: Tensor, prompt: PromptEmbeds,
                 config: DiffusionConfig, *, taps: Sequence[str], canvas_size: int, identity: str = "") -> None:
        """
        Args:
            unet, vae: stock diffusers models; the UNet's blocks after the last tap are dropped.
            alphas_cumprod: (steps,) of the checkpoint's noise schedule.
            prompt: the encoded prompt that every pass is conditioned on.
            taps: the blocks whose (injected) outputs are wanted; none: nothing is run.
            canvas_size: side in pixels of the canvases that will come.
        Raises:
            ConfigError: an unknown tap or timestep, a VAE that is not supported, or a canvas that is too small.
        """
        super().__init__()
        self.config, self.identity, self.timesteps, self.taps = config, identity, config.timesteps, tuple(taps)
        self.unet, self.vae = unet, vae
        self.input_spec = InputSpec(canvas_size, value_range=config.value_range)
        self._check(len(alphas_cumprod))
        self.alphas_cumprod = [float(value) for value in alphas_cumprod]  # no buffer: half precision would blunt it
        self._condition_on(prompt)
        order = list(named_blocks(unet))
        check_names(set(taps), order, "aggregation.taps")
        kept = drop_blocks_after(unet, max(taps, key=order.index) if taps else None)
        self.blocks = block_infos(unet, kept, canvas_size, self.latent_stride)
        self._hooks_lock = HooksLock()
        self.freeze()

    @classmethod
    def from_config(cls, config: DiffusionConfig, *, taps: Sequence[str], canvas_size: int) -> LatentDiffusion:
        """Load the first of the configured places that has weights.

        Raises:
            WeightsUnavailable: nowhere found, or the files do not hold all weights.
            ConfigError: see ``__init__``.
        """
        folder = resolve(config.source, what="diffusion model", patterns=PATTERNS)
        unet, unet_place = load_unet(folder, config)
        prompt = encode_prompt(folder, config.prompt, wants_pooled=wants_pooled(unet), variant=config.variant)
        vae, vae_place = load_vae(folder, config)
        schedule = read_schedule(folder)
        text = [fingerprint(folder / name, config.variant) for name in TEXT_ENCODERS if (folder / name).is_dir()]
        identity = digest([fingerprint(unet_place, None if config.unet else config.variant),
                           fingerprint(vae_place, None if config.vae else config.variant),
                           vae.config.scaling_factor, text, schedule])
        model = cls(unet, vae, alphas_cumprod(schedule), prompt, config, taps=taps, canvas_size=canvas_size,
                    identity=identity)
        model.folder = folder
        return model

    @property
    def latent_stride(self) -> int:
        """Canvas pixels per latent cell and side."""
        if type(self.vae).__name__ == "AutoencoderTiny":
            return int(2 ** (len(self.vae.config.encoder_block_out_channels) - 1))
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Convolutions run faster with channels last; a VAE that overflows in half precision, so its checkpoint says,
        stays in single."""
        self.to(device=device, dtype=dtype)
        for model in (self.unet, self.vae):
            model.to(memory_format=torch.channels_last)
        if dtype == torch.float16 and getattr(self.vae.config, "force_upcast", False):
            self.vae.float()

    def set_prompt(self, text: str) -> None:
        """Condition every later pass on this prompt; its embedding is made now and the text encoder freed again.

        Raises:
            WeightsUnavailable: the text encoder is not there.
        """
        if self.folder is None:
            raise WeightsUnavailable(f"no text encoder for the prompt {text!r}: this model was built from parts, "
                                     "not loaded from a checkpoint")
        self._condition_on(encode_prompt(self.folder, text, wants_pooled=wants_pooled(self.unet),
                                         variant=self.config.variant))

    def _condition_on(self, prompt: PromptEmbeds) -> None:
        like = {"device": self.unet.device, "dtype": self.unet.dtype}
        pooled = None if prompt.pooled is None else prompt.pooled.to(**like)
        self.register_buffer("prompt_hidden", prompt.hidden.to(**like), persistent=False)
        self.register_buffer("prompt_pooled", pooled, persistent=False)

    def encode(self, images_01: Tensor, keys: Sequence[str]) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> z_0 (B, 4, h, w), in the UNet's number format; (B, 0) where no tap is wanted.

        At most ``max_batch`` images pass the VAE together.
        """
        if not self.taps:
            return torch.empty(len(images_01), 0, device=images_01.device, dtype=self.unet.dtype)
        rows = self.config.max_batch
        return torch.cat([self._latents(images_01[start:start + rows], keys[start:start + rows])
                          for start in range(0, len(images_01), rows)])

    def _latents(self, images_01: Tensor, keys: Sequence[str]) -> Tensor:
        pixels = self.input_spec.apply(images_01).to(self.vae.dtype)
        encoded = self.vae.encode(pixels)
        mean, std = POSTERIOR[type(self.vae).__name__]
        latents = mean(encoded)
        if self.config.vae_sampling == "sample":
            seeds = [f"{key}:vae" for key in self._noise_keys(keys)]
            draws = torch.stack([gaussian(seed, self.config.seed, latents.shape[1:]) for seed in seeds])
            latents = latents + std(encoded) * draws.to(latents)
        return (latents * self.vae.config.scaling_factor).to(self.unet.dtype)

    def forward_taps(self, latents: Tensor, keys: Sequence[str], injection: Injection | None) -> list[FeaturePyramid]:
        """One pyramid per timestep; see the base class.

        All images and noise samples pass the UNet in chunks of ``max_batch`` rows; the mean over an image's samples is
        accumulated, so memory does not grow with their number.
        """
        if not self.taps:
            return [{} for _ in self.timesteps]
        samples = self.config.num_noise_samples if self.config.noise in ("image", "shared") else 1
        rows = torch.arange(len(latents)).repeat_interleave(samples)
        noise = self._noise(latents, keys, samples)
        pyramids = []
        for timestep in self.timesteps:
            mean: FeaturePyramid = {}
            for start in range(0, len(rows), self.config.max_batch):
                chunk = slice(start, start + self.config.max_batch)
                images = rows[chunk].to(latents.device)
                noisy = self._add_noise(latents[images], None if noise is None else noise[chunk], timestep)
                for name, hidden in self._pass(noisy, timestep, images, injection).items():
                    empty = torch.zeros((len(latents), *hidden.shape[1:]), dtype=torch.float32, device=hidden.device)
                    mean[name] = mean.get(name, empty).index_add(0, images, hidden.float() / samples)
            pyramids.append({name: value.to(latents.dtype) for name, value in mean.items()})
        return pyramids

    def _noise(self, latents: Tensor, keys: Sequence[str], samples: int) -> Tensor | None:
        """(B * samples, 4, h, w) on the CPU; None where the pass is free of noise."""
        if self.config.noise in ("zero", "clean"):
            return None
        return noise_samples(self._noise_keys(keys), self.config.seed, samples, latents.shape[1:])

    def _noise_keys(self, keys: Sequence[str]) -> Sequence[str]:
        """What each image's noise depends on, beside the seed."""
        return [""] * len(keys) if self.config.noise == "shared" else keys

    def _add_noise(self, latents: Tensor, noise: Tensor | None, timestep: int) -> Tensor:
        """z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps; "zero" leaves eps out, "clean" is z_0 itself."""
        if self.config.noise == "clean":
            return latents
        alpha = self.alphas_cumprod[timestep]
        scaled = latents * alpha**0.5
        return scaled if noise is None else scaled + noise.to(latents) * (1 - alpha) ** 0.5

    def _pass(self, noisy: Tensor, timestep: int, images: Tensor, injection: Injection | None) -> FeaturePyramid:
        """One UNet pass: tap name -> (rows, C, Hf, Wf), after injection."""
        inject = injection.for_rows(images) if injection else None
        injected = injection.blocks if injection else frozenset()
        captured: FeaturePyramid = {}

        def visit(name: str, hidden: Tensor) -> Tensor:
            if inject is not None and name in injected:
                hidden = inject(name, hidden)
            if name in self.taps:
                captured[name] = hidden
            return hidden

        watched = {name: block for name, block in named_blocks(self.unet).items() if name in injected | set(self.taps)}
        with self._hooks_lock, visiting(watched, visit, into_skips=bool(injection and injection.into_skips)):
            self.unet(noisy, timestep, encoder_hidden_states=self.prompt_hidden.expand(len(noisy), -1, -1),
                      added_cond_kwargs=self._added_conditions(len(noisy)), return_dict=False)
        return {name: captured[name] for name in self.taps}

    def _added_conditions(self, rows: int) -> dict[str, Tensor] | None:
        """XL's pooled text and size conditions: the canvas as original and target size, not cropped."""
        if self.prompt_pooled is None:
            return None
        side = self.input_spec.size
        sizes = torch.tensor([[side, side, 0, 0, side, side]]).to(self.prompt_pooled)
        return {"text_embeds": self.prompt_pooled.expand(rows, -1), "time_ids": sizes.expand(rows, -1)}

    def _check(self, num_steps: int) -> None:
        name = type(self.vae).__name__
        if name not in POSTERIOR:
            raise ConfigError(f"VAE class {name} is not supported; known: {', '.join(POSTERIOR)}")
        late = [step for step in self.timesteps if step >= num_steps]
        if late:
            raise ConfigError(f"diffusion.timesteps {late} are beyond the schedule's {num_steps} steps")
        halvings = len(self.unet.config.block_out_channels) - 1
        if self.input_spec.size < self.latent_stride * 2**halvings or self.input_spec.size % self.latent_stride:
            raise ConfigError(f"canvas.size {self.input_spec.size} must be a multiple of {self.latent_stride} and at "
                              f"least {self.latent_stride * 2**halvings} for this diffusion model")


def wants_pooled(unet: StockModel) -> bool:
    """Whether the UNet is of the XL kind, conditioned on a pooled prompt and on sizes too."""
    return bool(unet.config.addition_embed_type == "text_time")


def block_infos(unet: StockModel, names: Sequence[str], canvas_size: int, latent_stride: int) -> dict[str, FeatureInfo]:
    """What the output of each named block looks like, read from the UNet's configuration."""
    widths = list(unet.config.block_out_channels)
    last = len(widths) - 1
    infos = {f"down{level + 1}": FeatureInfo(width, latent_stride * 2 ** min(level + 1, last))
             for level, width in enumerate(widths)}
    infos["mid"] = FeatureInfo(widths[-1], latent_stride * 2**last)
    infos |= {f"up{level + 1}": FeatureInfo(width, latent_stride * 2 ** max(last - level - 1, 0))
              for level, width in enumerate(reversed(widths))}
    return {name: infos[name] for name in names}
