"""A fusion that counts as trained, shared by the tests of saving and loading one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sketchfusion.fusion.extractor import SketchFusion


@pytest.fixture(scope="session")
def as_if_trained() -> Callable[[SketchFusion], SketchFusion]:
    """``as_if_trained(model)``: the model itself, every learned tensor moved away from its start."""

    def move(model: SketchFusion) -> SketchFusion:
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.startswith(("injector.", "aggregator.")):
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        model.is_trained = True
        return model

    return move
