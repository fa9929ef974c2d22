"""The one training loop of the three recipes, on one processor or, through accelerate, on many.

A step's data and noise depend on the seed and its number alone, so a run that was interrupted and resumed equals one
that was not (with a time limit the learning rate follows the clock, and only then it does not).

A gradient that is not finite moves no weight, and what comes after it is neither judged nor kept: the run ends there.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sketchfusion.config import digest
from sketchfusion.engine import checkpoint
from sketchfusion.engine.averaging import Average
from sketchfusion.engine.config import Recipe, TrainingConfig
from sketchfusion.engine.meter import Meter
from sketchfusion.engine.run import LOG, Run, peak_memory_mb, write_log
from sketchfusion.engine.tracking import remove_tracked
from sketchfusion.errors import ConfigError

RECIPE_FILE = "recipe.json"
Metrics = dict[str, float]


class Task(Protocol):
    """What a recipe adds to the loop."""

    @property
    def learner(self) -> nn.Module:
        """``learner(number)`` -> (loss, {name: scalar}) of batch ``number``; its parameters are what learns."""
        ...

    def evaluate(self) -> Metrics:
        """Figures on the held-out part."""
        ...

    def picture(self, file: Path) -> None:
        """Write a sample picture."""
        ...


def learning_rate(config: TrainingConfig, step: int, share: float) -> float:
    """Linear warm-up over steps, times a cosine over the share of the run that is done, in [0, 1]."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    wave = (1 + math.cos(math.pi * min(share, 1.0))) / 2
    return config.lr * warm * (config.final_lr + (1 - config.final_lr) * wave)


def make_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, norms, temperatures) are not decayed."""
    learning = [value for value in module.parameters() if value.requires_grad]
    groups = [{"params": [value for value in learning if value.ndim > 1], "weight_decay": config.weight_decay},
              {"params": [value for value in learning if value.ndim <= 1], "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr, betas=config.betas,
                             fused=True)


def fit(task: Task, recipe: Recipe, run: Run) -> tuple[int, Average | None]:
    """Train to the end, or to the time limit; returns the steps done and the average of the weights, if one is kept.

    With ``best`` set, the weights that were best on the held-out part lie in the output folder; what is returned, and
    what the module holds, is how the run ended. ``checkpoint.load_best`` puts them into the module.

    Raises:
        KeyboardInterrupt: stopped by SIGINT or SIGTERM; a checkpoint was written.
        ConfigError: the checkpoint in the output folder is of another recipe, or ``best`` is no figure of the task.
        SketchFusionError: the loss or its gradient is not finite any more; see ``Meter.require_finite``.
    """
    config, module = recipe.training, task.learner
    optimizer = make_optimizer(module, config)
    average = Average(module, config.ema) if config.ema else None
    step, earlier = _begin(recipe, run, module, optimizer, average)
    wrapped = run.accelerator.prepare_model(module)
    meter = Meter(run, config, earlier)
    saved, judged = step, -1
    if config.best and not step:
        _check_figure(task, run, config)
    with stop_signals() as stopped:
        while True:
            share, stop = agree(run.accelerator, meter.share(step), bool(stopped))
            if share >= 1 or stop:
                break
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step, share)
            meter.add(*_step(wrapped, optimizer, config, run.accelerator, step))
            if average is not None:
                average.update(step)
            step += 1
            if step % config.log_every == 0 or step == config.steps:
                meter.log(step, optimizer.param_groups[0]["lr"])
            looked, shown, kept = (is_due(every, step) for every in (
                config.evaluate_every, config.sample_every, config.checkpoint_every))
            if looked or shown or kept:
                meter.require_finite(step)
            if looked or shown:  # before the checkpoint, so that what a run goes on from has been judged
                _judge(task, run, config, step, average, choose=looked, picture=shown)
                judged = step if looked else judged
            if kept:
                _checkpoint(run, recipe, step, meter.elapsed, checkpoint.collect(module, optimizer, average))
                saved = step
    meter.require_finite(step)
    if step > saved:
        _checkpoint(run, recipe, step, meter.elapsed, checkpoint.collect(module, optimizer, average))
    if stop:
        raise KeyboardInterrupt
    if config.best and judged < step:
        _judge(task, run, config, step, average, choose=True, picture=False)
    return step, average


def is_due(every: int, step: int) -> bool:
    """Whether something that is done every so many steps (0: never) is done after this one."""
    return every > 0 and step % every == 0


def agree(accelerator: Any, share: float, stop: bool) -> tuple[float, bool]:
    """What the furthest process says of the run's share and of stopping: all must leave the loop at the same step."""
    if accelerator.num_processes == 1:
        return share, stop
    mine = torch.tensor([[share, float(stop)]], device=accelerator.device, dtype=torch.float64)
    share, stopped = accelerator.gather(mine).amax(dim=0).tolist()
    return share, bool(stopped)


def report(task: Task, run: Run, step: int, name: str = "") -> Metrics:
    """Evaluate, write a sample picture, and log the figures."""
    metrics = evaluate(task, run, step)
    (run.output / "samples").mkdir(exist_ok=True)
    with _looking(task.learner):
        task.picture(run.output / "samples" / f"{name or f'step-{step:08d}'}.png")
    return metrics


def evaluate(task: Task, run: Run, step: int) -> Metrics:
    """The held-out figures of the weights as they are, logged."""
    with _looking(task.learner):
        metrics = task.evaluate()
    write_log(run, {"event": "evaluation", "step": step, **{key: round(value, 5) for key, value in metrics.items()},
                    "peak_memory_mb": peak_memory_mb(run)})
    return metrics


@contextmanager
def _looking(learner: nn.Module) -> Iterator[None]:
    """Without dropout and gradients inside."""
    learner.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        learner.train()


def _check_figure(task: Task, run: Run, config: TrainingConfig) -> None:
    """Evaluate before the first step: a misspelt figure shows at once, and the log has what there was to gain from."""
    if run.accelerator.is_main_process:
        _figure(evaluate(task, run, 0), config)
    run.accelerator.wait_for_everyone()


def _judge(task: Task, run: Run, config: TrainingConfig, step: int, average: Average | None, *, choose: bool,
           picture: bool) -> None:
    """Evaluate the weights, or their average; with ``choose`` keep them if they are the best so far."""
    if run.accelerator.is_main_process:
        with average.applied() if average else nullcontext():
            metrics = (report if picture else evaluate)(task, run, step)
            if choose and config.best:
                _keep_best(task, run, config, step, _figure(metrics, config))
    run.accelerator.wait_for_everyone()


def _figure(metrics: Metrics, config: TrainingConfig) -> float:
    """The figure that decides. Raises ConfigError: there is none of that name."""
    if config.best not in metrics:
        raise ConfigError(f"training.best is {config.best!r}, which is no held-out figure of this recipe; expected one "
                          f"of {', '.join(sorted(metrics))}")
    return metrics[config.best]


def _keep_best(task: Task, run: Run, config: TrainingConfig, step: int, value: float) -> None:
    before = checkpoint.read_best(run.output)
    if math.isnan(value) or (before is not None and value <= before["value"]):
        return
    checkpoint.save_best(run.output, {"step": step, "figure": config.best, "value": value}, task.learner)
    write_log(run, {"event": "best", "step": step, f"best_{config.best}": round(value, 5)})


def _begin(recipe: Recipe, run: Run, module: nn.Module, optimizer: torch.optim.Optimizer,
           average: Average | None) -> tuple[int, float]:
    """Step to begin with and the seconds spent before; restores the latest checkpoint if it is to be resumed."""
    run.output.mkdir(parents=True, exist_ok=True)
    if not run.resume and run.accelerator.is_main_process:
        checkpoint.remove_checkpoints(run.output)
        remove_tracked(run.output)
        (run.output / LOG).unlink(missing_ok=True)
    run.accelerator.wait_for_everyone()
    latest = checkpoint.latest_checkpoint(run.output)
    facts = {"device": str(run.accelerator.device), "processes": run.accelerator.num_processes,
             "torch": torch.__version__, "parameters": sum(value.numel() for value in module.parameters())}
    if latest is None:
        if run.accelerator.is_main_process:
            checkpoint.remove_best(run.output)  # of a run that had no checkpoint yet
        write_log(run, {"event": "start", "recipe": recipe.model_dump(mode="json"), **facts})
        (run.output / RECIPE_FILE).write_text(recipe.model_dump_json(indent=1), encoding="utf-8")
        return 0, 0.0
    record, state = checkpoint.load_checkpoint(latest)
    if record["recipe"] != recipe_digest(recipe):
        raise ConfigError(f"the checkpoint in {run.output} was made by another recipe, so it cannot be resumed with "
                          f"this one; compare {RECIPE_FILE} there, or start anew with --restart")
    checkpoint.restore(state, module, optimizer, average)
    if run.accelerator.is_main_process:
        _forget_others(run, recipe.training.best)
    write_log(run, {"event": "resume", "step": record["step"], **facts})
    return int(record["step"]), float(record["elapsed_s"])


def _forget_others(run: Run, figure: str) -> None:
    """Remove the best weights by another figure: the two do not compare."""
    kept = checkpoint.read_best(run.output)
    if kept is not None and kept["figure"] != figure:
        checkpoint.remove_best(run.output)


def recipe_digest(recipe: Recipe) -> str:
    """Hash of what shapes the weights: how often a run logs or how long it may take does not count."""
    free = {"max_minutes", "reserve_minutes", "log_every", "sample_every", "checkpoint_every", "compile", "evaluated",
            "evaluate_every", "best", "gradient_checkpointing", "tensorboard"}
    return digest(recipe.model_dump(mode="json", exclude={"title": True, "output": True, "export": True, "cache": True,
                                                          "sampling": True, "training": free}))


def _step(wrapped: nn.Module, optimizer: torch.optim.Optimizer, config: TrainingConfig, accelerator: Any,
          step: int) -> tuple[dict[str, Tensor], Tensor]:
    """One step of the optimizer, which moves nothing where the gradient is not finite.

    Returns:
        The mean loss and figures of its batches, and whether loss and gradient are finite (0-dim bool); all of it still
        on the device.
    """
    totals: dict[str, Tensor] = {}
    for micro in range(config.accumulate):
        last = micro == config.accumulate - 1
        with nullcontext() if last else accelerator.no_sync(wrapped):
            with accelerator.autocast():
                loss, figures = wrapped(step * config.accumulate + micro)
            accelerator.backward(loss / config.accumulate)
        for name, value in {"loss": loss, **figures}.items():
            totals[name] = totals.get(name, 0) + value.detach().float() / config.accumulate
    norm = torch.nn.utils.clip_grad_norm_([value for group in optimizer.param_groups for value in group["params"]],
                                          config.clip_norm or math.inf, foreach=True)
    finite = norm.isfinite()  # alike in all processes, as the gradient is, so that their weights stay alike
    optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # as GradScaler tells it, without waiting
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return totals, finite & totals["loss"].isfinite()


def _checkpoint(run: Run, recipe: Recipe, step: int, elapsed: float, state: dict[str, Tensor]) -> None:
    if run.accelerator.is_main_process:
        checkpoint.save_checkpoint(run.output, {"step": step, "elapsed_s": round(elapsed, 3),
                                                "recipe": recipe_digest(recipe), "seed": recipe.seed}, state)
    run.accelerator.wait_for_everyone()


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that gets the number of a SIGINT or SIGTERM, so that the loop can end its step first."""
    caught: list[int] = []
    old = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            old[number] = signal.signal(number, lambda received, frame: caught.append(received))
    except ValueError:  # not the main thread: signals go elsewhere
        pass
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
