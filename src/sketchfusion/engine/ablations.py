"""What is varied, one thing at a time, from the reference: Table 6, Fig. 5, and ablations of our own.

A variant is a row: settings of the extractor and of the training, over one recipe. All variants of a comparison learn
from the same pictures in the same order (the seed decides both), so that seeds are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Group = Literal["reference", "table 6", "fig 5", "injection", "noise", "descriptor", "tasks", "unseen"]
REFERENCE = "fused"
WITHOUT_INJECTION = ("injection.blocks=[]",)
UNSEEN = ("unseen=[dog, giraffe, guitar, house]",)  # the classes of ``pacs_dev``
TASKS = ("category", "fine_grained", "recognition", "correspondence", "segmentation")


@dataclass(frozen=True)
class Variant:
    """One way to differ from the reference.

    Attributes:
        name: also the folder of its fusions, ``NAME-SEED``.
        title: for tables.
        group: which table it belongs to.
        settings: ``a.b=c`` of the extractor, in force while training and afterwards.
        training: ``a.b=c`` of the recipe.
        retrained: False: the reference's own fusion, read with other settings.
    """

    name: str
    title: str
    group: Group
    settings: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    retrained: bool = True

    @property
    def trained_as(self) -> str:
        """Name of the variant whose fusions this one uses."""
        return self.name if self.retrained else REFERENCE


def alone(task: str) -> tuple[str, ...]:
    """Settings of the training that leave only one task."""
    return tuple(f"tasks.{other}.weight=0" for other in TASKS if other != task)


ROWS = (
    Variant(REFERENCE, "as the paper, all tasks", "reference"),
    Variant("no-aggregation", "w/o aggregation network", "table 6", ("aggregation.network=false",)),
    Variant("equal-weights", "w/o learnable weights", "table 6", ("aggregation.learned_weights=false",)),
    Variant("no-convolutions", "w/o 1D convolutions", "table 6", ("injection.convolutions=false",)),
    *(Variant(f"t-{step}", f"t = {step}", "fig 5", (f"diffusion.timesteps=[{step}]",)) for step in (1, 50, 400, 700)),
    Variant("t-several", "t = 50, 195, 400 together", "fig 5", ("diffusion.timesteps=[50, 195, 400]",)),
    Variant("no-injection", "w/o injection (B-SD, trained)", "injection", WITHOUT_INJECTION),
    Variant("released", "injection of the released code: last layer, skips, random, never learns", "injection",
            ("encoder.layer=-1", "injection.init=torch", "injection.skips=true", "injection.learned=false")),
    Variant("frozen-injection", "random convolutions that never learn", "injection",
            ("injection.init=torch", "injection.learned=false")),
    Variant("init-torch", "convolutions start at random", "injection", ("injection.init=torch",)),
    Variant("skips", "the skips carry the injection too", "injection", ("injection.skips=true",)),
    Variant("down-only", "injected into the down blocks alone", "injection",
            ("injection.blocks=[down1, down2, down3, down4]",)),
    Variant("up-only", "injected into the up blocks alone", "injection", ("injection.blocks=[up1, up2, up3]",)),
    Variant("last-layer", "patches of the last block", "injection", ("encoder.layer=-1",)),
    Variant("noise-zero", "no noise in z_t", "noise", ("diffusion.noise=zero",)),
    Variant("noise-clean", "z_0 itself", "noise", ("diffusion.noise=clean",)),
    Variant("noise-image", "noise of each image's own", "noise", ("diffusion.noise=image",)),
    *(Variant(f"samples-{count}", f"{count} noise samples, not trained anew", "noise",
              (f"diffusion.num_noise_samples={count}",), retrained=False) for count in (4, 16)),
    Variant("other-noise", "noise of another seed, not trained anew", "noise", ("diffusion.seed=1",), retrained=False),
    Variant("pool-mean", "mean pooling", "descriptor", ("descriptor.pooling=mean",)),
    Variant("pool-gem", "generalised mean pooling", "descriptor", ("descriptor.pooling=gem",)),
    *(Variant(f"only-{task}", f"{task.replace('_', '-')} alone", "tasks", training=alone(task)) for task in TASKS),
    Variant("unseen", "fused, PACS unseen", "unseen", training=UNSEEN),
    Variant("unseen-bsdclip", "B-SD+CLIP, PACS unseen", "unseen",
            (*WITHOUT_INJECTION, "aggregation.taps=[up1, up2, up3, patches]"), UNSEEN),
    Variant("unseen-bsd", "B-SD, PACS unseen", "unseen", WITHOUT_INJECTION, UNSEEN),
    Variant("unseen-bclip", "B-CLIP, PACS unseen", "unseen",
            (*WITHOUT_INJECTION, "aggregation.taps=[patches]"), UNSEEN),
)
VARIANTS: Mapping[str, Variant] = {row.name: row for row in ROWS}
