"""Animals of the air."""

from __future__ import annotations

from sketchfusion.data.world.categories_animals import DARK, add_eye
from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import arc, blob, ellipse, poly, ribbon, wire

BILL = (226, 160, 50), (210, 120, 50), (90, 84, 80)


@category(
    "bird", parts="body, head, wing, tail, beak, leg, eye",
    keypoints="beak tip, eye, crown, breast, wing tip, wing shoulder, tail tip, belly, left foot, right foot",
    places=("ground", "ground", "table"), turn=7,
)
def bird(d: Dice) -> Blueprint:
    """A small bird that stands, side view."""
    b = Blueprint()
    coat = d.color((90, 120, 170), (150, 100, 60), (120, 120, 120), (200, 80, 50), (210, 180, 80),
        (70, 64, 66))
    plume, wing = Paint(coat, "fur", 0.05, 1.0), Paint(tint(coat, 0.72), "fur", 0.05, 0.6)
    tip, foot, fat = (-d.between(0.85, 1.15), d.between(-0.1, 0.42)), d.between(0.78, 1.0), d.between(0.9,
        1.15)
    bill = d.between(0.24, 0.42)
    b.add("tail", poly((-0.45, 0.12), (tip[0], tip[1] - 0.1), (tip[0] - 0.03, tip[1] + 0.1), (-0.4, 0.34)),
        wing, at={"tail tip": tip},
        lines=[[(-0.45, 0.22), (tip[0] + 0.1, tip[1])]])
    feet = Paint(d.color(*BILL), "fine")
    for x, name in ((-0.08, "left"), (0.14, "right")):
        b.add("leg", wire((x, 0.5), (x + 0.02, foot), (x + 0.15, foot + 0.03), width=0.045, smooth=False),
            feet,
            at={f"{name} foot": (x + 0.02, foot)}, detail=0.1)
    b.add("body", blob((-0.6, 0.2), (-0.3, -0.14), (0.2, -0.34), (0.5, -0.1), (0.5, 0.26 * fat),
        (0.2, 0.56 * fat),
        (-0.2, 0.54 * fat)), plume,
        at={"breast": (0.54, 0.1), "belly": (0.05, 0.57 * fat)})
    x, y = d.between(0.4, 0.52), d.between(-0.46, -0.36)
    b.add("beak", poly((x + 0.18, y - 0.1), (x + 0.18 + bill, y + 0.02),
        (x + 0.18, y + 0.1)), Paint(d.color(*BILL), "plain", 0.5),
        at={"beak tip": (x + 0.17 + bill, y + 0.02)}, on="head", lines=[[(x + 0.2, y), (x + 0.36, y + 0.02)]])
    b.add("head", ellipse(x, y, 0.26), plume, at={"crown": (x, y - 0.25)})
    add_eye(b, x + 0.08, y - 0.05, 0.05, at="eye")
    b.add("wing", blob((0.26, -0.08), (0.2, 0.2), (-0.2, 0.36), (-0.7, 0.3), (-0.35, 0.1), (-0.1, -0.08)),
        wing, at={"wing tip": (-0.66, 0.29), "wing shoulder": (0.22, -0.06)},
        lines=[arc(-0.12, 0.08, 0.24, 0.14, 20, 140, 6)], detail=0.05)
    return b


@category(
    "owl", parts="body, wing, head, ear, eye, beak, foot, branch",
    keypoints="left ear tip, right ear tip, left eye, right eye, beak tip, left wing tip, right wing tip, "
              "left foot, right foot, belly",
    places=("ground", "flat", "room"), turn=5,
)
def owl(d: Dice) -> Blueprint:
    """Seen from the front: great eyes in a round head, folded wings, on a branch."""
    b = Blueprint()
    coat = d.color((140, 104, 70), (110, 90, 76), (160, 140, 116), (190, 180, 166))
    w, y = d.between(0.5, 0.6), -0.42
    if d.chance(0.6):
        b.add("branch", ribbon([(-0.95, 0.9), (0, 0.94), (0.95, 0.84)], [0.12, 0.15, 0.1]),
            Paint((100, 76, 54), "wood"), detail=0.4)
    for side, name in ((-1, "left"), (1, "right")):
        tip = (side * 0.44, y - 0.52)
        b.add("ear", poly((side * 0.5, y - 0.05), tip, (side * 0.12, y - 0.34)), Paint(coat, "fur"),
            at={f"{name} ear tip": tip}, on="head")
    b.add("body", blob((-0.36, -0.4), (0.36, -0.4), (w, 0.15), (w * 0.8, 0.7), (0, 0.92), (-w * 0.8, 0.7),
        (-w, 0.15)), Paint(coat, "fur", 0, 1))
    chest = [arc(x, 0.14 + 0.2 * row, 0.1, 0.09, 0, 180, 5) for row in range(3)
        for x in ((-0.2, 0, 0.2) if row % 2 else (-0.1, 0.1))]
    b.add("body", ellipse(0, 0.3, 0.34, 0.5), Paint(tint(coat, 1.35), "scales", 0, 0.8), lines=chest,
        at={"belly": (0, 0.4)}, detail=0.5)
    for side, name in ((-1, "left"), (1, "right")):
        b.add("wing", blob((side * 0.38, -0.2), (side * (w + 0.1), 0.1), (side * (w + 0.06), 0.5),
            (side * 0.3, 0.82), (side * 0.34, 0.3)), Paint(tint(coat, 0.78), "fur", 0, 0.6),
            at={f"{name} wing tip": (side * 0.31, 0.8)}, detail=0.15)
        b.add("foot", ellipse(side * 0.18, 0.88, 0.13, 0.07), Paint((220, 160, 60), "fine"),
            at={f"{name} foot": (side * 0.18, 0.9)}, detail=0.2)
    b.add("head", ellipse(0, y, 0.55, 0.42), Paint(coat, "fur", 0, 1))
    iris = d.color((236, 190, 50), (230, 130, 40), (140, 90, 40))
    for side, name in ((-1, "left"), (1, "right")):
        b.add("eye", ellipse(side * 0.22, y, 0.21), Paint(tint(coat, 1.6), "fur", 0, 0.4), detail=0.1,
            on="head")
        b.add("eye", ellipse(side * 0.22, y, 0.14), Paint(iris, "plain", 0.4, 0.3), detail=0.3, on="head")
        b.add("eye", ellipse(side * 0.22, y, 0.075), Paint(DARK, "plain", 0.9),
            at={f"{name} eye": (side * 0.22, y)}, detail=0.15, on="head")
    b.add("beak", poly((-0.07, y + 0.08), (0.07, y + 0.08), (0, y + 0.28)),
        Paint((210, 160, 60), "plain", 0.5), at={"beak tip": (0, y + 0.27)}, detail=0.05, on="head")
    return b


@category(
    "butterfly", parts="upper wing, lower wing, body, feeler, spot",
    keypoints="head, body end, left upper tip, right upper tip, left lower tip, right lower tip, "
              "left feeler tip, right feeler tip",
    places=("ground", "flat", "flat"), turn=25,
)
def butterfly(d: Dice) -> Blueprint:
    """Spread wings with spots, seen from above."""
    b = Blueprint()
    color = d.color((226, 140, 40), (70, 120, 200), (236, 220, 120), (180, 70, 120), (110, 170, 120),
        (230, 230, 224))
    spot = Paint(d.color((40, 34, 34), (240, 230, 200), (200, 60, 50)), "plain", 0, 0.2)
    w, h, low = d.between(0.85, 1.0), d.between(0.7, 0.9), d.between(0.5, 0.72)
    r = d.between(0.1, 0.16)
    tail = d.between(0.75, 0.95)
    for side, name in ((-1, "left"), (1, "right")):
        lower = blob((side * 0.04, 0.1), (side * low, 0.12), (side * low * 1.1, 0.5),
            (side * low * 0.7, tail), (side * 0.16, 0.55))
        b.add("lower wing", lower, Paint(tint(color, 0.86), "fine", 0, 0.5),
            at={f"{name} lower tip": (side * low * 0.72, tail)})
        b.add("spot", ellipse(side * low * 0.66, 0.45, r * 0.9), spot, detail=0.55, on="lower wing")
        upper = blob((side * 0.04, 0.12), (side * 0.3, -0.4), (side * 0.75 * w, -h), (side * w, -h * 0.8),
            (side * 0.86 * w, -0.16), (side * 0.5, 0.14))
        b.add("upper wing", upper, Paint(color, "fine", 0, 0.5),
            at={f"{name} upper tip": (side * w * 0.96, -h * 0.88)},
            lines=[[(side * 0.1, 0.0), (side * w * 0.72, -h * 0.66)],
              [(side * 0.1, 0.04), (side * w * 0.7, -0.12)]])
        b.add("spot", ellipse(side * w * 0.64, -h * 0.5, r), spot, detail=0.5, on="upper wing")
        tip = (side * 0.28, -0.86)
        b.add("feeler", wire((side * 0.02, -0.42), (side * 0.1, -0.7), tip, width=0.03), Paint(DARK, "plain"),
            at={f"{name} feeler tip": tip}, detail=0.1, on="body")
    b.add("body", ribbon([(0, -0.34), (0, 0.1), (0, 0.6)], [0.1, 0.15, 0.06]),
        Paint((64, 50, 44), "fur", 0, 1), at={"body end": (0, 0.6)},
        lines=[[(-0.05, 0.2), (0.05, 0.2)], [(-0.05, 0.34), (0.05, 0.34)]])
    b.add("body", ellipse(0, -0.42, 0.085), Paint((64, 50, 44), "fur", 0, 1), at={"head": (0, -0.44)})
    return b
