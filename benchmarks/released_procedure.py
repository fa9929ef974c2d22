"""What the released code does to one image, step by step and as plainly as it can be written: the yardstick.

Written from a description of its steps, not from its text. Per image, at batch 1:

1. the text encoder is run for the null prompt;
2. CLIP's patch tokens are taken from the chosen block and projected by one 1x1 convolution per UNet block;
3. the image, with pixels from 0 to 255, is repeated ``copies`` times, and all copies pass the VAE encoder;
4. every copy gets noise of its own and passes the UNet once, up to the third up block;
5. after each down and up block the resized projection is added *in place*, which also alters the skip tensor that the
   block handed out;
6. the three up blocks' outputs are averaged over the copies, resized, aggregated and summed with softmax weights.

Two departures, both in its favour: no autograd graph is recorded, and attention is the stock fused kernel instead of
the sliced one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

StockModel = Any
TAPS = ("up1", "up2", "up3")
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass
class ReleasedProcedure:
    """The stock networks and the learned layers, run as the released code runs them.

    Attributes:
        unet, vae, text_encoder, vision: stock models.
        scheduler: a stock scheduler that can add noise.
        tokens: (1, L) token ids of the null prompt.
        projections: block name -> Conv2d of kernel 1.
        branches: tap -> bottleneck with ``reduce``, ``mix``, ``expand`` and ``shortcut``, each convolution and norm.
        mixing: (taps,) before the softmax.
        layer: which of CLIP's blocks, counted from the end: -1 the last.
        timestep: the one denoising step.
        grid_size: side of the aggregated map.
    """

    unet: StockModel
    vae: StockModel
    text_encoder: StockModel
    vision: StockModel
    scheduler: StockModel
    tokens: Tensor
    projections: Mapping[str, nn.Module]
    branches: Mapping[str, Any]
    mixing: Tensor
    layer: int = -1
    timestep: int = 195
    grid_size: int = 60

    @torch.no_grad()
    def __call__(self, image_01: Tensor, vae_noise: Tensor, noise: Tensor) -> Tensor:
        """The feature map of one image.

        Args:
            image_01: (1, 3, S, S) in [0, 1].
            vae_noise: (copies, 4, h, w) standard normal, for the sample from the VAE's posterior.
            noise: (copies, 4, h, w) standard normal, added at the timestep.
        Returns:
            (1, D, grid_size, grid_size).
        """
        prompt = self.encode_prompt()
        additions = self.project(self.patch_features(image_01))
        latents = self.encode(image_01, vae_noise)
        return self.aggregate(self.unet_features(latents, noise, prompt, additions))

    def encode_prompt(self) -> Tensor:
        """(1, L, C)."""
        hidden: Tensor = self.text_encoder(self.tokens)[0]
        return hidden

    def patch_features(self, image_01: Tensor) -> Tensor:
        """(1, 3, S, S) -> (1, C, Hp, Wp)."""
        side = self.vision.config.image_size
        pixels = image_01
        if pixels.shape[-1] != side:
            pixels = F.interpolate(pixels, (side, side), mode="bicubic", antialias=True, align_corners=False)
        pixels = (pixels - pixels.new_tensor(CLIP_MEAN).view(3, 1, 1)) / pixels.new_tensor(CLIP_STD).view(3, 1, 1)
        states = self.vision(pixels.to(self.vision.dtype), output_hidden_states=True).hidden_states
        patches = states[self.layer][:, 1:]                                  # the class token is left out
        cells = side // self.vision.config.patch_size
        return patches.transpose(1, 2).reshape(1, -1, cells, cells)

    def project(self, patches: Tensor) -> dict[str, Tensor]:
        """(1, C, Hp, Wp) -> block name -> (1, C_block, Hp, Wp)."""
        return {name: projection(patches) for name, projection in self.projections.items()}

    def encode(self, image_01: Tensor, vae_noise: Tensor) -> Tensor:
        """(1, 3, S, S) -> (copies, 4, h, w): the same picture that many times through the VAE."""
        pixels = (image_01 * 255).repeat(len(vae_noise), 1, 1, 1).to(self.vae.dtype)
        posterior = self.vae.encode(pixels).latent_dist
        return (posterior.mean + posterior.std * vae_noise.to(pixels)) * self.vae.config.scaling_factor

    def unet_features(self, latents: Tensor, noise: Tensor, prompt: Tensor,
                      additions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(copies, 4, h, w) -> tap -> (1, C, Hf, Wf), the mean over the copies."""
        steps = torch.full((len(latents),), self.timestep, dtype=torch.long, device=latents.device)
        sample = self.scheduler.add_noise(latents, noise.to(latents), steps).to(self.unet.dtype)
        context = prompt.repeat(len(latents), 1, 1)
        embedding = self.unet.time_embedding(self.unet.get_time_embed(sample, steps))
        sample = self.unet.conv_in(sample)
        skips: tuple[Tensor, ...] = (sample,)
        for number, block in enumerate(self.unet.down_blocks, start=1):
            sample, states = block(hidden_states=sample, temb=embedding, **self._context(block, context))
            self._add(sample, additions[f"down{number}"])
            skips += states                                                  # the last one *is* ``sample``
        sample = self.unet.mid_block(sample, embedding, encoder_hidden_states=context)
        features = {}
        for number, block in enumerate(self.unet.up_blocks[: len(TAPS)], start=1):
            states, skips = skips[-len(block.resnets):], skips[: -len(block.resnets)]
            sample = block(hidden_states=sample, temb=embedding, res_hidden_states_tuple=states,
                           upsample_size=skips[-1].shape[2:], **self._context(block, context))
            self._add(sample, additions[f"up{number}"])
            features[f"up{number}"] = sample.mean(0, keepdim=True)
        return features

    def aggregate(self, features: Mapping[str, Tensor]) -> Tensor:
        """Tap -> (1, C, Hf, Wf), into (1, D, grid_size, grid_size)."""
        order: Sequence[str] = TAPS[::-1]                                    # finest first
        resized = [F.interpolate(features[tap], (self.grid_size, self.grid_size), mode="bilinear", align_corners=False)
                   for tap in order]
        stacked = torch.cat(resized, dim=1)
        weights = dict(zip(TAPS, self.mixing.flatten().softmax(0), strict=True))
        parts = stacked.split([features[tap].shape[1] for tap in order], dim=1)
        outputs = [weights[tap] * _bottleneck(self.branches[tap], part) for tap, part in zip(order, parts, strict=True)]
        return torch.stack(outputs).sum(0)

    @staticmethod
    def _add(sample: Tensor, addition: Tensor) -> None:
        sample += F.interpolate(addition, sample.shape[-2:], mode="bilinear", align_corners=False)

    @staticmethod
    def _context(block: nn.Module, context: Tensor) -> dict[str, Tensor]:
        return {"encoder_hidden_states": context} if getattr(block, "has_cross_attention", False) else {}


def _bottleneck(block: Any, features: Tensor) -> Tensor:
    """1x1, 3x3, 1x1, each with its norm; shortcut; (1, C_in, H, W) -> (1, D, H, W)."""
    hidden = F.relu(_normalised(block.reduce, features))
    hidden = F.relu(_normalised(block.mix, hidden))
    hidden = _normalised(block.expand, hidden)
    shortcut = features if isinstance(block.shortcut, nn.Identity) else _normalised(block.shortcut, features)
    return F.relu(hidden + shortcut)


def _normalised(pair: Any, features: Tensor) -> Tensor:
    convolution, norm = pair
    hidden = F.conv2d(features, convolution.weight, padding=convolution.weight.shape[-1] // 2)
    return F.group_norm(hidden, norm.num_groups, norm.weight, norm.bias, norm.eps)
