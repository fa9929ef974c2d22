"""``sketchfusion pretrain vae``: the autoencoder (diffusers' AutoencoderKL), factor 4 or 8, small KL as in SD.

No perceptual network is at hand that may be given away, so sharpness is asked for by edges and by several scales.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchfusion.backbones.loading import StockModel
from sketchfusion.data.packed.augment import PLAIN
from sketchfusion.data.packed.corpus import Corpus, ItemSet, PictureSet, load_corpus, spread
from sketchfusion.data.packed.sampling import Feeder, generator_for
from sketchfusion.engine import runtime
from sketchfusion.engine.loop import Metrics, fit, report
from sketchfusion.engine.pictures import save_sheet
from sketchfusion.engine.run import Run, write_log
from sketchfusion.pretrain.config import VaeLossConfig, VaeRecipe

CHUNK, STATISTICS = 64, 2048
LEVELS = 3


class VaeLearner(nn.Module):
    """Batch number -> loss."""

    def __init__(self, vae: StockModel, feeder: Feeder, recipe: VaeRecipe, device: torch.device) -> None:
        super().__init__()
        self.vae = vae
        self._feeder, self._loss, self._seed, self._device = feeder, recipe.loss, recipe.seed, device
        # Not modules of this one: they share its weights.
        self._calls = tuple(runtime.faster(part, recipe.training.compile, device)
                            for part in (vae.encoder, vae.decoder))

    def forward(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its terms on batch ``number``."""
        images = self._feeder.batch(number).images_01.to(memory_format=torch.channels_last)
        encoder, decoder = self._calls
        mean, log_variance = self.vae.quant_conv(encoder(images * 2 - 1)).float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-30, 20)
        noise = torch.randn(mean.shape, generator=generator_for(self._device, self._seed, "posterior", number),
                            device=self._device)
        latents = mean + (log_variance / 2).exp() * noise                          # (B, 4, S / 4, S / 4)
        decoded = decoder(self.vae.post_quant_conv(latents))
        terms = reconstruction_terms(decoded.float() / 2 + 0.5, images)
        terms["kl"] = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=(1, 2, 3)).mean()
        return weigh(terms, self._loss), terms


def reconstruction_terms(decoded_01: Tensor, images_01: Tensor) -> dict[str, Tensor]:
    """Mean absolute error of the pixels, of halved and quartered pictures, and of the edges.

    Args:
        decoded_01, images_01: (B, 3, H, W).
    """
    difference = decoded_01 - images_01
    terms = {"l1": difference.abs().mean()}
    smaller, pyramid = difference, []
    for _ in range(LEVELS - 1):
        smaller = F.avg_pool2d(smaller, 2)
        pyramid.append(smaller.abs().mean())
    terms["pyramid"] = torch.stack(pyramid).mean()
    # All of these are linear, so the edges of the difference are the difference of the edges.
    across, down = difference.diff(dim=3).abs().mean(), difference.diff(dim=2).abs().mean()
    fine = (difference - F.avg_pool2d(difference, 3, stride=1, padding=1)).abs().mean()
    terms["edges"] = (across + down + fine) / 3
    return terms


def weigh(terms: dict[str, Tensor], config: VaeLossConfig) -> Tensor:
    """The loss: the terms times their weights."""
    return (config.l1 * terms["l1"] + config.pyramid * terms["pyramid"] + config.edges * terms["edges"]
            + config.kl * terms["kl"])


class VaeTask:
    """Learner, held-out figures and sample pictures."""

    def __init__(self, recipe: VaeRecipe, run: Run) -> None:
        """Build the network and read the data. Raises ConfigError, DataError."""
        device = run.accelerator.device
        data, training = recipe.data, recipe.training
        corpus = load_corpus(Path(data.shards).expanduser(), recipe.size, list(data.mix), device=device)
        self.train, self.held_out = corpus.part(held_out=False), corpus.part(held_out=True)
        feeder = Feeder(self.train, data.mix, training.batch_size, seed=recipe.seed, balance=data.balance,
                        views={kind: data.view(kind) for kind in data.mix}, rank=run.accelerator.process_index,
                        world=run.accelerator.num_processes)
        self.vae = runtime.build(recipe.architecture, seed=recipe.seed, initial=recipe.initial)
        self.vae.to(device, memory_format=torch.channels_last)
        self.learner = VaeLearner(self.vae, feeder, recipe, device)
        self._accelerator, self._evaluated = run.accelerator, training.evaluated

    def evaluate(self) -> Metrics:
        """PSNR in dB of held-out pictures of each kind, over their own pixels, without the bars."""
        return {f"psnr_{kind}": self.psnr(self.held_out, kind) for kind in self.held_out.sets}

    def psnr(self, corpus: Corpus, kind: str) -> float:
        """Mean PSNR in dB of at most ``evaluated`` pictures of a kind."""
        items = corpus.sets[kind]
        return float(psnr(items, spread(items, self._evaluated), self.reconstruct).mean())

    @torch.no_grad()
    def reconstruct(self, images_01: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> the same through the autoencoder, by the mean of the posterior."""
        with self._accelerator.autocast():
            latents = self.vae.encode(images_01 * 2 - 1).latent_dist.mean
            decoded = self.vae.decode(latents).sample
        return (decoded.float() / 2 + 0.5).clamp(0, 1)

    def picture(self, file: Path) -> None:
        """Held-out pictures above their reconstructions."""
        shown = []
        for items in self.held_out.sets.values():
            rows = spread(items, 8)
            count = len(rows)
            images = items.render(rows, PLAIN, generator_for(rows.device, "plain"))
            blank = torch.ones(8 - count, *images.shape[1:], device=images.device)
            shown += [images, blank, self.reconstruct(images), blank]
        save_sheet(file, torch.cat(shown), 8)

    @torch.no_grad()
    def latent_scale(self) -> float:
        """1 / standard deviation of the latents of training pictures: SD's ``scaling_factor``."""
        latents = []
        for items in self.train.sets.values():
            for part in spread(items, min(STATISTICS, 2 * self._evaluated) // len(self.train.sets) or 1).split(CHUNK):
                images = items.render(part, PLAIN, generator_for(part.device, "plain"))
                latents.append(self.vae.encode(images * 2 - 1).latent_dist.mean.float().flatten())
        return float(1 / torch.cat(latents).std())


def psnr(items: ItemSet, rows: Tensor, reconstruct: Callable[[Tensor], Tensor]) -> Tensor:
    """(B,) of pictures: 10 log10(1 / mean squared error), pixels in [0, 1], over the picture without its bars.

    Args:
        rows: (B,) of the items.
        reconstruct: (B, 3, S, S) in [0, 1] -> the same through an autoencoder.
    """
    values = []
    for part in rows.split(CHUNK):
        images = items.render(part, PLAIN, generator_for(part.device, "plain"))
        error = (reconstruct(images) - images).square().mean(dim=1)
        inside = _content_mask(items.content[part], images.shape[-1]) if isinstance(items, PictureSet) \
            else torch.ones_like(error)
        mean = (error * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2))
        values.append(-10 * mean.clamp(min=1e-10).log10())
    return torch.cat(values)


def _content_mask(content: Tensor, side: int) -> Tensor:
    """(B, 4) boxes -> (B, side, side), 1 inside."""
    cells = torch.arange(side, device=content.device) + 0.5
    left, top, right, bottom = (edge[:, None] for edge in content.unbind(1))
    across, down = (cells > left) & (cells < right), (cells > top) & (cells < bottom)
    return (down[:, :, None] & across[:, None, :]).float()


def train_vae(recipe: VaeRecipe, run: Run) -> Metrics:
    """Train, then save ``vae/`` in the output folder; returns the held-out figures.

    Raises:
        ConfigError, DataError, WeightsUnavailable: see ``VaeTask``; KeyboardInterrupt: stopped, see ``loop.fit``.
    """
    task = VaeTask(recipe, run)
    steps, average = fit(task, recipe, run)
    with average.applied() if average else nullcontext():
        if not run.accelerator.is_main_process:
            return {}
        metrics = report(task, run, steps, "final")
        metrics["scaling_factor"] = task.latent_scale()
        task.vae.register_to_config(scaling_factor=metrics["scaling_factor"], sample_size=recipe.size,
                                    force_upcast=False)
        runtime.export(task.vae, run.output / "vae", recipe.export)
    write_log(run, {"event": "saved", "folder": "vae", "scaling_factor": metrics["scaling_factor"]})
    return metrics
