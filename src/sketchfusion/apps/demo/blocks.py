"""The demo's page: which parts it has and what they call."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from sketchfusion.apps.demo.client import Client, ServerError
from sketchfusion.apps.demo.views import GUESSES, Results, search, why
from sketchfusion.errors import SketchFusionError

CANVAS = 512  # pixels
PEN = 8
COLUMNS = 4
ERROR_S = 15  # that a message stays
CACHE_S = 600, 3600  # how often Gradio looks for pictures to delete, and of what age
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])  # none is fetched

Shown = tuple[Results, list[tuple[Image.Image, str]], dict[str, float], Image.Image | None, Image.Image | None]


def build(client: Client) -> gr.Blocks:
    """The page over a server. Raises ServerError: it cannot be reached, or has no gallery that can be searched."""
    galleries = client.galleries()
    if not galleries:
        raise ServerError(f"the server at {client.address} has no gallery that can be searched; make one with "
                          "`sketchfusion index PHOTOS --gallery FOLDER` and serve it")

    def find(gallery: str, pad: dict[str, Any] | None) -> Shown:
        try:
            results = search(client, gallery, drawn_on(pad))
            reasons = why(client, results, 0) if results.hits else None
        except SketchFusionError as error:
            raise told(error) from None
        if results.no_guesses:
            gr.Warning(escape(results.no_guesses, quote=False))
        shown = [(picture, f"{hit.score:.3f}  {hit.name}")
                 for hit, picture in zip(results.hits, results.thumbnails, strict=True)]
        pictures = (reasons.overlay, reasons.lines) if reasons is not None else (None, None)
        return results, shown, dict(results.guesses), *pictures

    def explain(results: Results, chosen: gr.SelectData) -> tuple[Image.Image, Image.Image]:
        try:
            reasons = why(client, results, int(chosen.index))
        except SketchFusionError as error:
            raise told(error) from None
        return reasons.overlay, reasons.lines

    with gr.Blocks(title="SketchFusion", analytics_enabled=False, delete_cache=CACHE_S) as blocks:
        found = gr.State()
        with gr.Row():
            with gr.Column(scale=2):
                gallery = gr.Dropdown(galleries, value=galleries[0][1], label="Gallery", visible=len(galleries) > 1)
                pad = gr.Sketchpad(type="pil", label="Draw (with the pencil)", canvas_size=(CANVAS, CANVAS),
                                   fixed_canvas=True, layers=False, transforms=(), buttons=[],
                                   brush=gr.Brush(default_size=PEN, colors=["#000000"], color_mode="fixed"))
                button = gr.Button("Find", variant="primary")
                guesses = gr.Label(num_top_classes=GUESSES, label="It may be a")
            with gr.Column(scale=3):
                gr.Markdown("Photos, the best first. Choose one to see below why it was found.")
                photos = gr.Gallery(label="Photos", show_label=False, columns=COLUMNS, allow_preview=False,
                                    object_fit="contain", buttons=[])
        with gr.Row():
            overlay = gr.Image(label="What the sketch shows of it", interactive=False, buttons=[])
            lines = gr.Image(label="Where the sketch's points are", interactive=False, buttons=["fullscreen"])
        button.click(find, [gallery, pad], [found, photos, guesses, overlay, lines], api_visibility="private")
        photos.select(explain, [found], [overlay, lines], api_visibility="private")
    return blocks


def drawn_on(pad: dict[str, Any] | None) -> Image.Image:
    """What is on the sketch pad; white paper where nothing is."""
    drawing = (pad or {}).get("composite")
    return Image.new("RGB", (CANVAS, CANVAS), "white") if drawing is None else drawing


def told(error: SketchFusionError) -> gr.Error:
    """The error as the page shows it."""
    return gr.Error(escape(str(error), quote=False), duration=ERROR_S, print_exception=False)
