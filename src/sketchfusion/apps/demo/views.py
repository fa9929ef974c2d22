"""What happens behind the demo's parts: pictures and plain values in, pictures and plain values out, no Gradio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sketchfusion.apps.demo.client import Client, Found, ServerError
from sketchfusion.figures.mask_overlay import tinted
from sketchfusion.figures.point_lines import MatchedPhoto, point_lines
from sketchfusion.sketches import on_paper

TOP, GUESSES, POINTS = 24, 5, 8
PHOTO_SIDE = 640  # pixels of a photo that is looked at


@dataclass(frozen=True, eq=False)
class Results:
    """What a sketch found.

    Attributes:
        gallery, sketch: ids at the server.
        paper: the sketch, RGB on white.
        hits: best first.
        thumbnails: RGB, one for each hit.
        guesses: (class, probability), the likeliest first.
        no_guesses: why there are none, empty where there are.
    """

    gallery: str
    sketch: str
    paper: Image.Image
    hits: list[Found]
    thumbnails: list[Image.Image]
    guesses: list[tuple[str, float]]
    no_guesses: str = ""


@dataclass(frozen=True, eq=False)
class Reasons:
    """Why a photo was found: the photo with what the sketch shows tinted, and the sketch's points linked to it."""

    overlay: Image.Image
    lines: Image.Image


def search(client: Client, gallery: str, sketch: Image.Image, top: int = TOP) -> Results:
    """Photos that show what a sketch shows, and what that may be.

    Args:
        gallery: its id.
        sketch: of any mode; what is transparent is white paper.
    Raises:
        ImageError: the sketch is blank.
        ServerError: see ``Client``.
    """
    paper = on_paper(sketch, "the sketch")
    sent = client.send(paper)
    hits = client.search(gallery, sent, top)
    thumbnails = [client.thumbnail(gallery, hit.id) for hit in hits]
    try:
        return Results(gallery, sent, paper, hits, thumbnails, client.classes(sent, GUESSES))
    except ServerError as error:  # of a model that has learned no classes
        return Results(gallery, sent, paper, hits, thumbnails, [], str(error))


def why(client: Client, results: Results, index: int) -> Reasons:
    """Mask and points of the result number ``index``, from 0. Raises ServerError: see ``Client``."""
    hit = results.hits[index]
    photo = client.photo(results.gallery, hit.id, PHOTO_SIDE)
    mask = client.mask(results.gallery, hit.id, results.sketch)
    pairs, (width, height) = client.points(results.gallery, hit.id, results.sketch, POINTS)
    scale = photo.width / width, photo.height / height  # the server counts in pixels of the full photo
    matched = MatchedPhoto(photo, hit.name, f"score {hit.score:.3f}", [pair.query for pair in pairs],
                           [(pair.found[0] * scale[0], pair.found[1] * scale[1]) for pair in pairs])
    return Reasons(tinted(photo, np.asarray(mask) > 127), point_lines(results.paper, "your sketch", [matched]))
