"""Animals of the water."""

from __future__ import annotations

from sketchfusion.data.world.categories_animals import add_eye
from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import (
    arc,
    blob,
    ellipse,
    lens,
    poly,
    ribbon,
    toward,
)

BILL = (226, 160, 50), (210, 120, 50), (90, 84, 80)


@category(
    "penguin", parts="body, belly, head, flipper, beak, foot, eye",
    keypoints="crown, beak tip, left eye, right eye, left flipper tip, right flipper tip, left foot, "
              "right foot, belly",
    places=("snow", "snow", "ground"), turn=5,
)
def penguin(d: Dice) -> Blueprint:
    """Upright, dark back and white belly, flippers to the sides."""
    b = Blueprint()
    coat = d.color((40, 44, 54), (56, 62, 84), (30, 30, 34))
    w, lift = d.between(0.42, 0.52), d.between(0.1, 0.4)
    orange = Paint(d.color((232, 150, 50), (220, 120, 50)), "plain", 0.3)
    for side, name in ((-1, "left"), (1, "right")):
        b.add("foot", blob((side * 0.06, 0.86), (side * 0.36, 0.88), (side * 0.46, 0.99), (side * 0.06, 1.0)),
            orange, at={f"{name} foot": (side * 0.28, 0.98)}, detail=0.1)
        tip = (side * (w + lift), 0.42)
        b.add("flipper", blob((side * 0.3, -0.2), (side * (w + 0.08), -0.06), tip, (side * (w - 0.04), 0.3)),
            Paint(coat, "plain"), at={f"{name} flipper tip": tip})
    b.add("body", blob((-0.28, -0.45), (0.28, -0.45), (w, 0.2), (w * 0.85, 0.75), (0, 0.95),
        (-w * 0.85, 0.75), (-w, 0.2)), Paint(coat, "plain", 0.2, 0.9))
    b.add("head", ellipse(0, -0.6, 0.34, 0.34), Paint(coat, "plain", 0.2, 1), at={"crown": (0, -0.93)})
    b.add("belly", blob((-0.2, -0.25), (0.2, -0.25), (w * 0.72, 0.25), (w * 0.55, 0.75), (0, 0.86),
        (-w * 0.55, 0.75), (-w * 0.72, 0.25)), Paint((240, 240, 238), "fur", 0, 0.9), at={"belly": (0, 0.3)},
        on="body")
    for side, name in ((-1, "left"), (1, "right")):
        b.add("head", ellipse(side * 0.12, -0.58, 0.13, 0.16), Paint((240, 240, 238), "plain", 0, 0.5),
            detail=0.35)
        add_eye(b, side * 0.11, -0.64, 0.045, at=f"{name} eye")
    b.add("beak", poly((-0.1, -0.53), (0.1, -0.53), (0, -0.36)), orange, at={"beak tip": (0, -0.38)},
        detail=0.05, on="head")
    return b


@category(
    "duck", parts="body, head, neck, wing, bill, ring, eye",
    keypoints="bill tip, eye, crown, breast, wing tip, wing front, tail tip, belly, neck base",
    places=("water", "water", "ground"), turn=5,
)
def duck(d: Dice) -> Blueprint:
    """A swimming duck, side view: broad bill, raised tail."""
    b = Blueprint()
    coat = d.color((236, 226, 200), (232, 196, 70), (150, 116, 80), (200, 196, 190))
    head = d.color((50, 110, 70), coat, coat, spread=6)
    plume = Paint(coat, "fur", 0.05, 1.0)
    x, y, rise, deep = d.between(0.4, 0.56), d.between(-0.75, -0.42), d.between(-0.3, 0.0), d.between(0.6,
        0.75)
    b.add("body", blob((-1.0, rise), (-0.7, 0.04), (-0.2, 0.02), (0.3, -0.05), (0.66, 0.1), (0.66, 0.45),
        (0.3, deep), (-0.4, deep), (-0.85, 0.4)), plume,
        at={"breast": (0.69, 0.3), "belly": (-0.05, deep + 0.01), "tail tip": (-0.99, rise + 0.01)})
    b.add("neck", ribbon([(0.42, 0.25), (0.46, -0.1), (x, y + 0.1)], [0.5, 0.28, 0.26]),
        plume if head == coat else Paint(head, "fur", 0.1, 1), at={"neck base": (0.28, -0.04)})
    if d.chance(0.4):
        b.add("ring", ribbon([(0.33, -0.06), (0.46, -0.02), (0.6, -0.08)], [0.06, 0.06, 0.06]),
            Paint((240, 238, 230), "fur"), detail=0.5, on="neck")
    b.add("bill", blob((x + 0.18, y - 0.06), (x + 0.36, y + 0.0), (x + 0.62, y + 0.06), (x + 0.6, y + 0.14),
        (x + 0.3, y + 0.16), (x + 0.16, y + 0.1)), Paint(d.color((230, 150, 40), (216, 180, 60)), "plain",
        0.5),
        at={"bill tip": (x + 0.62, y + 0.09)}, lines=[[(x + 0.22, y + 0.08), (x + 0.56, y + 0.09)]],
        on="head")
    b.add("head", ellipse(x, y, 0.28, 0.26), Paint(head, "fur", 0.1, 1), at={"crown": (x, y - 0.25)})
    add_eye(b, x + 0.09, y - 0.05, 0.05, at="eye")
    b.add("wing", blob((0.3, 0.2), (0.1, 0.48), (-0.35, 0.5), (-0.75, 0.14), (-0.2, 0.12)),
        Paint(tint(coat, 0.8), "fur", 0, 0.6),
        at={"wing tip": (-0.72, 0.16), "wing front": (0.28, 0.22)},
        lines=[arc(-0.1, 0.28, 0.24, 0.12, 10, 150, 6)], detail=0.1)
    return b


@category(
    "fish", parts="body, tail, back fin, belly fin, side fin, eye",
    keypoints="mouth, eye, back fin tip, belly fin tip, tail root, upper tail tip, lower tail tip, gill, "
              "back, belly",
    places=("underwater",), turn=10,
)
def fish(d: Dice) -> Blueprint:
    """Side view: oval body, forked tail, fins."""
    b = Blueprint()
    color = d.color((230, 120, 50), (90, 130, 180), (220, 190, 70), (150, 160, 160), (200, 70, 80),
        (90, 150, 120))
    h, spread, fork = d.between(0.34, 0.55), d.between(0.35, 0.5), d.between(0.08, 0.2)
    fin = Paint(tint(color, 0.82), "fur", 0.1, 0.3)
    b.add("tail", poly((-0.5, 0), (-1.0, -spread), (-1.0 + fork, 0), (-1.0, spread)), fin,
        lines=[[(-0.6, 0), (-0.92, -spread * 0.6)], [(-0.6, 0), (-0.92, spread * 0.6)]],
        at={"upper tail tip": (-0.98, -spread * 0.97), "lower tail tip": (-0.98, spread * 0.97)})
    b.add("back fin", poly((0.34, -h * 0.8), (-0.02, -h - 0.26), (-0.4, -h - 0.08), (-0.36, -h * 0.5)), fin,
        at={"back fin tip": (-0.02, -h - 0.24)})
    b.add("belly fin", poly((0.14, h * 0.86), (-0.14, h + 0.24), (-0.24, h * 0.7)), fin,
        at={"belly fin tip": (-0.14, h + 0.22)}, detail=0.15)
    body = blob((0.86, 0.02), (0.6, -h * 0.66), (0.15, -h), (-0.3, -h * 0.62), (-0.64, -0.08), (-0.64, 0.08),
        (-0.3, h * 0.62), (0.15, h), (0.6, h * 0.7))
    skin = Paint(color, d.pick(("scales", "scales", "stripes")), 0.5, 1.0)
    scales = [arc(x, y * h, 0.09, 0.1, -80, 80, 5) for x, y in ((-0.1, -0.4), (-0.1, 0.05), (-0.1, 0.45),
        (-0.32, -0.15), (-0.32, 0.25))]
    b.add("body", body, skin, lines=[arc(0.36, 0, 0.14, h * 0.72, -75, 75, 8), [(0.85, 0.06), (0.7, 0.12)],
        *scales], at={
        "mouth": (0.85, 0.03), "gill": (0.5, 0), "tail root": (-0.62, 0), "back": (0.15, -h * 0.98),
        "belly": (0.15, h * 0.98)})
    b.add("side fin", lens(0.24, 0.08, 0.34, 0.24, 160), fin, detail=0.4, on="body")
    add_eye(b, 0.64, -h * 0.24, 0.1, at="eye", white=True, on="body")
    return b


@category(
    "sea turtle", parts="shell, head, front flipper, back flipper, tail, eye",
    keypoints="nose, shell front, shell back, shell left, shell right, left front flipper tip, "
              "right front flipper tip, left back flipper tip, right back flipper tip, tail tip",
    places=("underwater", "underwater", "flat"), turn=25,
)
def sea_turtle(d: Dice) -> Blueprint:
    """Seen from above: oval shell with plates, four flippers."""
    b = Blueprint()
    skin = Paint(d.color((110, 140, 90), (130, 124, 86), (90, 120, 110)), "scales", 0.1, 0.8)
    w, h, sweep = d.between(0.46, 0.56), d.between(0.6, 0.7), d.between(10, 40)
    b.add("tail", poly((-0.07, h - 0.05), (0.07, h - 0.05), (0, h + 0.24)), skin,
        at={"tail tip": (0, h + 0.23)}, detail=0.3)
    for side, name in ((-1, "left"), (1, "right")):
        turn = sweep if side > 0 else 180 - sweep
        base = (side * w * 0.62, -h * 0.55)
        tip = toward(*base, 0.78, turn)
        middle = (base[0] + side * 0.34, base[1] - 0.12 + sweep * 0.004)
        b.add("front flipper", ribbon([base, middle, tip], [0.24, 0.26, 0.06]), skin,
            at={f"{name} front flipper tip": tip})
        tip = toward(side * w * 0.5, h * 0.7, 0.46, 50 if side > 0 else 130)
        b.add("back flipper", lens(side * w * 0.4, h * 0.6, 0.56, 0.26, 50 if side > 0 else 130), skin,
            at={f"{name} back flipper tip": tip})
    b.add("head", blob((-0.16, -h + 0.06), (-0.17, -h - 0.16), (0, -h - 0.34), (0.17, -h - 0.16),
        (0.16, -h + 0.06)), skin, at={"nose": (0, -h - 0.32)})
    for side in (-1, 1):
        add_eye(b, side * 0.1, -h - 0.17, 0.035)
    plates = [[(-0.2 * w, -0.8 * h), (-0.42 * w, -0.3 * h), (-0.42 * w, 0.3 * h), (-0.2 * w, 0.8 * h)],
        [(0.2 * w, -0.8 * h), (0.42 * w, -0.3 * h), (0.42 * w, 0.3 * h), (0.2 * w, 0.8 * h)]]
    plates += [[(x * w, y * h), (-x * w, y * h)] for x, y in ((0.42, -0.3), (0.42, 0.3))]
    plates += [[(side * 0.42 * w, y * h), (side * 0.95 * w, y * h * 1.2)] for side in (-1, 1)
        for y in (-0.3, 0.3)]
    shell = blob((0, -h), (w * 0.75, -h * 0.72), (w, 0), (w * 0.75, h * 0.72), (0, h), (-w * 0.75, h * 0.72),
        (-w, 0), (-w * 0.75, -h * 0.72))
    b.add("shell", shell, Paint(d.color((120, 90, 56), (90, 104, 70), (140, 110, 60)), "spots", 0.4, 1.1),
        lines=plates, at={
        "shell front": (0, -h * 0.97), "shell back": (0, h * 0.97), "shell left": (-w * 0.97, 0),
        "shell right": (w * 0.97, 0)})
    return b
