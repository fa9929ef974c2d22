"""``sketchfusion pretrain diffusion``: the UNet, by noise prediction over the latents of a finished autoencoder.

Conditioned on the frozen text encoder of a finished CLIP; some captions are dropped, so that the null prompt, which is
what the features are read with, is learned too.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sketchfusion.backbones.loading import StockModel, load_diffuser, read_json
from sketchfusion.data.packed.augment import PLAIN, ViewConfig
from sketchfusion.data.packed.corpus import Corpus, load_corpus
from sketchfusion.data.packed.sampling import EpochSampler, generator_for, shares
from sketchfusion.engine import runtime
from sketchfusion.engine.loop import Metrics, fit, report
from sketchfusion.engine.pictures import save_sheet
from sketchfusion.engine.run import Run, write_log
from sketchfusion.pretrain.config import DiffusionRecipe
from sketchfusion.pretrain.latents import LatentSet, TextTable, encode_views
from sketchfusion.pretrain.tokenizer import save_tokenizer

EVALUATED_TIMESTEPS = (50, 195, 400, 600, 800)
MOST_JUDGED = 256
NUM_NAMES = 10


class DiffusionLearner(nn.Module):
    """Batch number -> loss."""

    def __init__(self, unet: StockModel, sets: dict[str, LatentSet], samplers: dict[str, EpochSampler],
                 text: TextTable, schedule: Any, recipe: DiffusionRecipe, accelerator: Any) -> None:
        """
        Args:
            sets: kind -> latents and caption rows.
            samplers: kind -> which of them a batch sees.
            schedule: diffusers' scheduler, for its noise levels.
        """
        super().__init__()
        self.unet = unet
        self.alphas = schedule.alphas_cumprod.to(accelerator.device)
        self._sets, self._samplers, self._text, self._recipe = sets, samplers, text, recipe
        self._counts = shares(recipe.data.mix, recipe.training.batch_size)
        self._rank, self._world = accelerator.process_index, accelerator.num_processes
        self._call = (runtime.faster(unet, recipe.training.compile, accelerator.device),)

    def forward(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss on batch ``number``: mean squared error of the noise, weighted by the signal-to-noise ratio."""
        generator = generator_for(self.alphas.device, self._recipe.seed, "noise", number, self._rank)
        clean, rows = self.examples(number, generator)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        steps = torch.randint(len(self.alphas), (len(clean),), generator=generator, device=clean.device)
        noisy = add_noise(clean, noise, self.alphas[steps]).to(memory_format=torch.channels_last)
        predicted = self._call[0](noisy, steps, encoder_hidden_states=self._text.hidden[rows], return_dict=False)[0]
        error = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
        loss = (error * snr_weights(self.alphas[steps], self._recipe.min_snr)).mean()
        return loss, {"error": error.mean()}

    def examples(self, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Clean latents (B, 4, h, w) and the rows of their captions (B,), 0 for the null prompt."""
        latents, rows = [], []
        place = number * self._world + self._rank
        for kind, count in self._counts.items():
            items, device = self._sets[kind], self.alphas.device
            chosen = self._samplers[kind].take(place * count, count)
            view = torch.randint(len(items.latents), (count,), generator=generator, device=device)
            sentence = torch.randint(items.captions.shape[1], (count,), generator=generator, device=device)
            latents.append(items.latents[view, chosen].float())
            rows.append(items.captions[chosen, sentence])
        dropped = torch.rand(sum(self._counts.values()), generator=generator, device=self.alphas.device)
        return torch.cat(latents), torch.cat(rows).masked_fill(dropped < self._recipe.caption_dropout, 0)


def add_noise(clean: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps, ``alphas`` (B,) being abar_t."""
    signal = alphas.view(-1, 1, 1, 1)
    return signal.sqrt() * clean + (1 - signal).sqrt() * noise


def snr_weights(alphas: Tensor, gamma: float) -> Tensor:
    """(B,) weights min(snr, gamma) / snr of the noise error; all 1 for gamma 0.

    Source: Hang et al., Efficient Diffusion Training via Min-SNR Weighting, 2023.
    """
    if not gamma:
        return torch.ones_like(alphas)
    ratio = alphas / (1 - alphas)
    return ratio.clamp(max=gamma) / ratio


class DiffusionTask:
    """Learner, held-out error and sample pictures."""

    def __init__(self, recipe: DiffusionRecipe, run: Run) -> None:
        """Load VAE and text encoder, encode the data. Raises ConfigError, DataError, WeightsUnavailable."""
        from diffusers import DDIMScheduler

        device, data = run.accelerator.device, recipe.data
        self.recipe, self._accelerator, self._device = recipe, run.accelerator, device
        self.schedule = DDIMScheduler.from_config(
            {key: value for key, value in recipe.scheduler.items() if key != "_class_name"})
        self.vae = load_diffuser("AutoencoderKL", Path(recipe.vae).expanduser()).float().to(device)
        self.vae.requires_grad_(False)
        self.text = TextTable(Path(recipe.clip).expanduser(), device)
        corpus = load_corpus(Path(data.shards).expanduser(), recipe.size, list(data.mix), device=device)
        self.classes = corpus.classes
        train, held_out = corpus.part(held_out=False), corpus.part(held_out=True)
        with run.accelerator.autocast():
            sets = {kind: self._encode(train, kind, data.view(kind), recipe.latent_views) for kind in data.mix}
            judged = held_out.first(min(MOST_JUDGED, recipe.training.evaluated))
            self.held_out = self._encode(judged, next(iter(judged.sets)), PLAIN, 1)
        self.names = self._sample_names(train)
        samplers = {kind: EpochSampler(train.sets[kind].class_ids, key=(recipe.seed, kind), balance=data.balance)
                    for kind in data.mix}
        self.unet = runtime.build(unet_config(recipe, self.vae, self.text), seed=recipe.seed, initial=recipe.initial)
        self.unet.to(device, memory_format=torch.channels_last)
        self.learner = DiffusionLearner(self.unet, sets, samplers, self.text, self.schedule, recipe, run.accelerator)

    def _encode(self, corpus: Corpus, kind: str, view: ViewConfig, views: int) -> LatentSet:
        latents = encode_views(self.vae, corpus, kind, view, views=views, seed=self.recipe.seed)
        return LatentSet(latents, self.text.rows_of(kind, corpus.sets[kind].class_ids, self.classes))

    def _sample_names(self, train: Corpus) -> list[str]:
        """The names that samples are drawn for: as configured, or the most frequent ones."""
        if self.recipe.sampling.names:
            return list(self.recipe.sampling.names)
        ids, counts = next(iter(train.sets.values())).class_ids.unique(return_counts=True)
        by_count = [self.classes[index] for index in ids[counts.argsort(descending=True)].tolist()]
        return [name for name in by_count if name][:NUM_NAMES] or [""]

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """Mean squared error of the noise on held-out pictures, with their captions and with the null prompt."""
        clean = self.held_out.latents[0].float()
        rows = self.held_out.captions[:, 0]
        totals = {"held_out_error": 0.0, "held_out_error_null": 0.0}
        for step in EVALUATED_TIMESTEPS:
            step = min(step, len(self.schedule.alphas_cumprod) - 1)
            noise = torch.randn(clean.shape, generator=generator_for(clean.device, "held-out", step),
                                device=clean.device)
            noisy = add_noise(clean, noise, self.learner.alphas[step].expand(len(clean)))
            for name, chosen in (("held_out_error", rows), ("held_out_error_null", torch.zeros_like(rows))):
                parts = [self._predict(part, torch.full((len(part),), step, device=part.device), self.text.hidden[row])
                         for part, row in zip(noisy.split(64), chosen.split(64), strict=True)]
                totals[name] += float((torch.cat(parts) - noise).square().mean()) / len(EVALUATED_TIMESTEPS)
        return totals

    def _predict(self, noisy: Tensor, steps: Tensor, hidden: Tensor) -> Tensor:
        with self._accelerator.autocast():
            return self.unet(noisy, steps, encoder_hidden_states=hidden, return_dict=False)[0].float()

    @torch.no_grad()
    def sample(self, texts: list[str]) -> Tensor:
        """Pictures of texts, (N, 3, S, S) in [0, 1]: DDIM with guidance, noise from the recipe's seed."""
        config = self.recipe.sampling
        side = self.recipe.size // self.held_out_stride
        latents = torch.randn((len(texts), self.unet.config.in_channels, side, side), device=self._device,
                              generator=generator_for(self._device, self.recipe.seed, "samples"))
        hidden = torch.cat([self.text.hidden[:1].expand(len(texts), -1, -1), self.text.encode(texts)])
        self.schedule.set_timesteps(config.steps)
        for step in self.schedule.timesteps.tolist():
            steps = torch.full((2 * len(texts),), step, device=self._device)
            null, told = self._predict(torch.cat([latents, latents]), steps, hidden).chunk(2)
            latents = self.schedule.step(null + config.guidance * (told - null), step, latents).prev_sample
        decoded = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return (decoded.float() / 2 + 0.5).clamp(0, 1)

    @property
    def held_out_stride(self) -> int:
        """Pixels per latent cell and side."""
        return self.recipe.size // self.held_out.latents.shape[-1]

    def picture(self, file: Path) -> None:
        """Samples, one column per name."""
        article = [f"a photo of {'an' if name[:1] in 'aeiou' else 'a'} {name}" if name else "" for name in self.names]
        texts = article * self.recipe.sampling.per_name
        self.unet.eval()
        save_sheet(file, torch.cat([self.sample(texts[start:start + 64]) for start in range(0, len(texts), 64)]),
                   len(self.names), self.names)

    def save(self, folder: Path) -> None:
        """All parts in the hub's layout."""
        config = self.recipe.export
        runtime.export(self.unet, folder / "unet", config)
        runtime.export(self.vae, folder / "vae", config)
        runtime.export(self.text.encoder, folder / "text_encoder", config)
        save_tokenizer(self.text.tokenizer, folder / "tokenizer")
        self.schedule.save_pretrained(folder / "scheduler")
        version = read_json(folder / "unet" / "config.json").get("_diffusers_version", "")
        index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": version,
                 "feature_extractor": [None, None], "image_encoder": [None, None], "requires_safety_checker": False,
                 "safety_checker": [None, None], "scheduler": ["diffusers", "DDIMScheduler"],
                 "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
                 "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
        (folder / "model_index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")


def unet_config(recipe: DiffusionRecipe, vae: StockModel, text: TextTable) -> dict[str, Any]:
    """The UNet's configuration, with what VAE and text encoder decide."""
    stride = 2 ** (len(vae.config.block_out_channels) - 1)
    return {**recipe.unet, "sample_size": recipe.size // stride, "in_channels": vae.config.latent_channels,
            "out_channels": vae.config.latent_channels, "cross_attention_dim": text.encoder.config.hidden_size}


def train_diffusion(recipe: DiffusionRecipe, run: Run) -> Metrics:
    """Train, then save ``diffusion/`` in the output folder; returns the held-out figures.

    Raises:
        ConfigError, DataError, WeightsUnavailable: see ``DiffusionTask``; KeyboardInterrupt: stopped, see ``loop.fit``.
    """
    task = DiffusionTask(recipe, run)
    steps, average = fit(task, recipe, run)
    with average.applied() if average else nullcontext():
        if not run.accelerator.is_main_process:
            return {}
        metrics = report(task, run, steps, "final")
        task.save(run.output / "diffusion")
    write_log(run, {"event": "saved", "folder": "diffusion"})
    return metrics
