"""Vessels for the table."""

from __future__ import annotations

from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import (
    blob,
    box,
    ellipse,
    lathe,
    poly,
    ribbon,
    ring,
    wire,
)

CLAY = (226, 222, 212), (80, 120, 160), (190, 90, 70), (120, 150, 120), (220, 180, 90), (70, 70, 78)


@category(
    "cup", parts="body, rim, handle, saucer, steam",
    keypoints="rim left, rim right, rim front, bottom left, bottom right, handle top, handle middle, "
              "handle bottom, body center",
    places=("table",), turn=4,
)
def cup(d: Dice) -> Blueprint:
    """A cup with a handle, at times with saucer or steam; some have no handle."""
    b = Blueprint()
    glaze = Paint(d.color(*CLAY), d.pick(("plain", "plain", "stripes", "spots")), 0.8, 0.9)
    w, foot, h = d.between(0.55, 0.66), d.between(0.34, 0.58), d.between(0.5, 0.72)
    if d.chance(0.35):
        b.add("saucer", ellipse(0, h + 0.0, 0.95, 0.17), Paint(tint(glaze.color, 0.95), "plain", 0.5, 0.6),
            detail=0.3)
    if d.chance(0.85):
        reach, high = d.between(0.26, 0.36), d.between(0.28, 0.42)
        b.add("handle", ring(w * 0.92, -0.04, reach, high, 0.13), Paint(glaze.color, "plain", 0.5, 0.8), at={
            "handle top": (w * 0.92 + reach * 0.5, -0.04 - high * 0.87),
            "handle middle": (w * 0.92 + reach, -0.04), "handle bottom": (w * 0.92 + reach * 0.5,
            -0.04 + high * 0.87)})
    body = poly((-w, -0.5), (w, -0.5), (w * 0.97, 0.1), (foot + 0.05, h - 0.12), (foot, h), (-foot, h),
        (-foot - 0.05, h - 0.12), (-w * 0.97, 0.1))
    b.add("body", body, glaze, at={"bottom left": (-foot, h - 0.01), "bottom right": (foot, h - 0.01),
        "rim front": (0, -0.38), "body center": (0, 0.1)})
    b.add("rim", ellipse(0, -0.5, w, 0.13), Paint(tint(glaze.color, 1.2), "plain", 0.3, 0.2),
        at={"rim left": (-w * 0.98, -0.5), "rim right": (w * 0.98, -0.5)})
    b.add("rim", ellipse(0, -0.48, w * 0.86, 0.09),
        Paint(d.color((80, 50, 34), (160, 110, 50), (120, 60, 40)), "plain", 0.2, 0.2), detail=0.6)
    if d.chance(0.4):
        for x in (-0.2, 0.15):
            b.add("steam", wire((x, -0.68), (x + 0.08, -0.82), (x - 0.06, -0.98), (x + 0.04, -1.12),
                width=0.03), Paint((226, 228, 230), "plain", 0, 0), detail=0.6)
    return b


@category(
    "teapot", parts="body, spout, handle, lid, knob, foot",
    keypoints="knob, spout tip, spout root, handle top, handle middle, handle bottom, body left, "
              "body right, bottom left, bottom right",
    places=("table",), turn=4,
)
def teapot(d: Dice) -> Blueprint:
    """A round pot with spout, handle and lid."""
    b = Blueprint()
    glaze = Paint(d.color(*CLAY, (150, 60, 50)), d.pick(("plain", "noise", "spots")), 0.9, 1.1)
    w, h, up = d.between(0.54, 0.64), d.between(0.4, 0.58), d.between(-0.42, -0.2)
    plain = Paint(glaze.color, "plain", 0.6, 0.8)
    b.add("handle", ring(-w * 0.95, 0.05, 0.32, 0.36, 0.12), plain,
        at={"handle top": (-w * 0.95 - 0.15, -0.27), "handle middle": (-w * 0.95 - 0.32, 0.05),
        "handle bottom": (-w * 0.95 - 0.15, 0.37)})
    b.add("spout", ribbon([(w * 0.7, 0.3), (w + 0.14, 0.12), (w + 0.24, up), (w + 0.38, up - 0.06)],
        [0.36, 0.2, 0.13, 0.14]), plain,
        at={"spout tip": (w + 0.38, up - 0.06), "spout root": (w * 0.92, 0.22)})
    b.add("foot", poly((-0.3, h), (0.3, h), (0.36, h + 0.13), (-0.36, h + 0.13)), plain,
        at={"bottom left": (-0.35, h + 0.12), "bottom right": (0.35, h + 0.12)})
    b.add("body", ellipse(0, 0.08, w, h, steps=36), glaze,
        at={"body left": (-w * 0.97, 0.08), "body right": (w * 0.97, 0.08)})
    y = 0.08 - h
    b.add("lid", blob((-0.34, y + 0.09), (-0.24, y - 0.06), (0, y - 0.12), (0.24, y - 0.06), (0.34, y + 0.09),
        (0, y + 0.14)), plain, detail=0.05)
    b.add("knob", ellipse(0, y - 0.17, 0.09), plain, at={"knob": (0, y - 0.17)}, detail=0.05)
    return b


@category(
    "wine bottle", parts="body, label, cap",
    keypoints="mouth, neck left, neck right, shoulder left, shoulder right, bottom left, bottom right, "
              "label center",
    places=("table",), turn=5,
)
def wine_bottle(d: Dice) -> Blueprint:
    """A slim bottle with a label."""
    b = Blueprint()
    w, neck, shoulder = d.between(0.25, 0.33), d.between(0.08, 0.11), d.between(-0.35, -0.1)
    glass = Paint(d.color((36, 66, 44), (60, 34, 30), (90, 110, 60), (30, 34, 40)), "plain", 1.0, 1.1)
    b.add("body", lathe((neck, -1), (neck, shoulder - 0.22), (w * 0.8, shoulder - 0.02), (w, shoulder + 0.16),
        (w, 0.9), (w * 0.9, 1.0), smooth=False), glass, at={
        "neck left": (-neck, -0.6), "neck right": (neck, -0.6), "shoulder left": (-w * 0.98, shoulder + 0.16),
        "shoulder right": (w * 0.98, shoulder + 0.16),
        "bottom left": (-w * 0.92, 0.98), "bottom right": (w * 0.92, 0.98)})
    b.add("cap", box(-neck - 0.02, -1.02, neck + 0.02, d.between(-0.85, -0.68)),
        Paint(d.color((150, 30, 44), (40, 40, 44), (190, 150, 70)), "plain", 0.5, 0.9), at={"mouth": (0, -1)},
        detail=0.2)
    if d.chance(0.85):
        y = shoulder + 0.3
        lines = [[(-w * 0.5, y + 0.14 + 0.12 * k), (w * 0.5, y + 0.14 + 0.12 * k)] for k in range(3)]
        b.add("label", box(-w * 0.97, y, w * 0.97, y + d.between(0.42, 0.55)),
            Paint(d.color((238, 230, 208), (220, 200, 160), (60, 50, 60)), "fine", 0.1, 0.8),
            at={"label center": (0, y + 0.22)}, lines=lines, detail=0.2)
    return b


@category(
    "wine glass", parts="bowl, wine, stem, foot",
    keypoints="rim left, rim right, bowl left, bowl right, bowl bottom, stem middle, foot left, "
              "foot right, wine center",
    places=("table",), turn=4,
)
def wine_glass(d: Dice) -> Blueprint:
    """A bowl on a stem, with wine."""
    b = Blueprint()
    w, rim, low, level = d.between(0.42, 0.54), d.between(0.34, 0.42), d.between(0.05, 0.2), d.between(-0.5,
        -0.25)
    glass = Paint((204, 216, 220), "plain", 1.0, 0.9)
    b.add("foot", ellipse(0, 0.93, d.between(0.34, 0.44), 0.08), glass,
        at={"foot left": (-0.32, 0.93), "foot right": (0.32, 0.93)})
    b.add("stem", poly((-0.035, low - 0.02), (0.035, low - 0.02), (0.03, 0.75), (0.08, 0.92), (-0.08, 0.92),
        (-0.03, 0.75)), glass, at={"stem middle": (0, (low + 0.9) / 2)})
    b.add("bowl", lathe((rim, -1), (w * 0.97, -0.6), (w, -0.4), (w * 0.7, -0.05), (0.05, low)), glass, at={
        "rim left": (-rim, -0.99), "rim right": (rim, -0.99), "bowl left": (-w * 0.98, -0.42),
        "bowl right": (w * 0.98, -0.42), "bowl bottom": (0, low - 0.04)})
    wine = lathe((w * 0.93, level), (w * 0.86, -0.24), (w * 0.6, -0.06), (0.05, low - 0.05))
    b.add("wine", wine, Paint(d.color((120, 20, 40), (220, 190, 90), (210, 120, 120)), "plain", 0.6, 0.9),
        at={"wine center": (0, -0.1)}, detail=0.2, on="bowl")
    b.add("bowl", ellipse(0, -1, rim, 0.055), Paint((226, 234, 236), "plain", 0.3, 0.1), detail=0.3)
    return b
