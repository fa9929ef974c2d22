"""The losses of CLIP where classes repeat: everything of one class is a match (as in UniCL and SupCon)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def multi_positive_loss(rows: Tensor, columns: Tensor, row_ids: Tensor, column_ids: Tensor, scale: Tensor) -> Tensor:
    """Cross entropy of each row against the columns of its class, all of them equally right.

    Args:
        rows: (N, D) unit vectors.
        columns: (M, D) unit vectors.
        row_ids, column_ids: (N,), (M,) classes; every row has at least one column of its class.
        scale: of the cosines, 1 / temperature.
    Returns:
        Scalar: mean over rows of the mean over matching columns of -log softmax.
    Source: Yang et al., UniCL, 2022, Eq. 3.
    """
    log_shares = F.log_softmax(scale * rows @ columns.T, dim=1)
    matches = (row_ids[:, None] == column_ids[None]).to(log_shares.dtype)
    return -((log_shares * matches).sum(1) / matches.sum(1)).mean()


def cross_domain_loss(vectors: Tensor, class_ids: Tensor, domains: Tensor, temperature: float) -> Tensor:
    """Pictures of one class but another domain attract each other; those of the same domain are left out.

    Args:
        vectors: (B, D) unit vectors.
        class_ids, domains: (B,).
    Returns:
        Scalar: mean over the rows that have a match; 0 if none has.
    Source: Khosla et al., Supervised Contrastive Learning, 2020, Eq. 2, restricted to pairs across domains.
    """
    across = domains[:, None] != domains[None]
    logits = (vectors @ vectors.T / temperature).masked_fill(~across, -1e4)
    log_shares = F.log_softmax(logits, dim=1)
    matches = (across & (class_ids[:, None] == class_ids[None])).to(log_shares.dtype)
    count = matches.sum(1)
    per_row = -(log_shares * matches).sum(1) / count.clamp(min=1)
    return per_row.sum() / (count > 0).sum().clamp(min=1)


def everyone(values: Tensor, accelerator: Any) -> Tensor:
    """The rows of all processes; gradients flow through this one's own."""
    if accelerator.num_processes == 1:
        return values
    gathered: Tensor = accelerator.gather(values.detach())
    start = accelerator.process_index * len(values)
    return torch.cat([gathered[:start], values, gathered[start + len(values):]])
