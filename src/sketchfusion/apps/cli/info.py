"""``sketchfusion list`` and ``sketchfusion info PRESET``: what there is, what it costs, where its weights come from."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from sketchfusion.apps.cli import common
from sketchfusion.config import DEFAULT_PRESET, Preset, load_preset, preset_names


@common.handle_errors
def list_presets(as_json: common.AsJson = False) -> None:
    """List the presets: name, what it is, canvas side, and whether its weights are on this machine."""
    presets = [load_preset(name) for name in preset_names()]
    rows = [{"name": preset.name, "title": preset.title, "canvas": preset.extractor.canvas.size,
             "weights": "ready" if is_ready(preset) else "missing", "default": preset.name == DEFAULT_PRESET}
            for preset in presets]
    if as_json:
        common.print_json(rows)
        return
    table = Table("preset", "what it is", "canvas", "weights", box=None, header_style="bold")
    for row in rows:
        name = f"[bold]{row['name']}[/bold]" + (" (default)" if row["default"] else "")
        colour = "green" if row["weights"] == "ready" else "yellow"
        table.add_row(name, str(row["title"]), f"{row['canvas']} px", f"[{colour}]{row['weights']}[/{colour}]")
    common.output.print(table)
    common.output.print("\n[dim]sketchfusion info PRESET tells what it costs and where its weights come from.[/dim]")


@common.handle_errors
def info(preset: Annotated[str, typer.Argument(help="Preset name or configuration file (.yaml).")] = DEFAULT_PRESET,
         settings: common.Settings = None, as_json: common.AsJson = False) -> None:
    """Show a preset: parameters, memory and GFLOP per image of each part, licences, sources and settings."""
    chosen = load_preset(preset, settings or ())
    summary = summarise(chosen)
    if as_json:
        common.print_json(summary)
        return
    common.output.print(f"[bold]{chosen.name}[/bold]  {chosen.title}\n{chosen.summary}\n")
    if summary["cost"]:
        common.output.print(cost_table(summary))
    common.output.print("[bold]Weights[/bold]")
    for part, places in summary["sources"].items():
        common.output.print(f"  {part}: {', then '.join(places)}", soft_wrap=True, markup=False)
    for licence in chosen.licences:
        common.output.print(f"  {licence.what}: {licence.licence}{f' ({licence.terms})' if licence.terms else ''}")
    state = "ready on this machine" if summary["ready"] else "not on this machine; loading tells what to put where"
    common.output.print(f"  {state}\n\n[bold]Settings[/bold]")
    for section, values in summary["settings"].items():
        shown = ", ".join(f"{key}={value}" for key, value in values.items()) if isinstance(values, dict) else values
        common.output.print(f"  {section}: {shown}", soft_wrap=True, markup=False)


def summarise(preset: Preset) -> dict[str, Any]:
    """Everything that ``info`` shows, as plain data; memory in bytes of the weights at float32."""
    from sketchfusion.fusion.cost import count_cost

    cost = count_cost(preset) if preset.architectures else {}
    diffusion = preset.extractor.diffusion
    sources = {"diffusion model": diffusion.source, "UNet": diffusion.unet, "VAE": diffusion.vae,
               "patch encoder": preset.extractor.encoder.source, "fusion": preset.fusion}
    parts = {part: {"parameters": item.parameters, "float32_bytes": item.parameters * 4, "gflop": round(item.gflop, 3)}
             for part, item in cost.items()}
    return {
        "name": preset.name, "title": preset.title, "summary": preset.summary, "cost": parts,
        "sources": {part: list(places) for part, places in sources.items() if places}, "ready": is_ready(preset),
        "licences": [licence.model_dump() for licence in preset.licences],
        "settings": preset.extractor.model_dump(mode="json"),
    }


def cost_table(summary: dict[str, Any]) -> Table:
    """Parameters, weights' memory and GFLOP of each part, with the sum."""
    table = Table("part", "parameters", "float32", "half", "GFLOP / image", box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = list(summary["cost"].items())
    total = {key: sum(part[key] for _, part in rows) for key in ("parameters", "float32_bytes", "gflop")}
    for name, part in [*rows, ("[bold]together[/bold]", total)]:
        table.add_row(name, f"{part['parameters'] / 1e6:,.2f} M", f"{part['float32_bytes'] / 1e6:,.1f} MB",
                      f"{part['float32_bytes'] / 2e6:,.1f} MB", f"{part['gflop']:,.2f}")
    return table


def is_ready(preset: Preset) -> bool:
    """Whether every part's weights are here, without asking the network."""
    from sketchfusion.backbones.weights import is_at_hand

    diffusion = preset.extractor.diffusion
    wanted = (diffusion.source, diffusion.unet, diffusion.vae, preset.extractor.encoder.source, preset.fusion)
    return all(is_at_hand(places) for places in wanted if places)
