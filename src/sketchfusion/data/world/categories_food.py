"""Fruit and other food."""

from __future__ import annotations

from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import (
    arc,
    blob,
    ellipse,
    lathe,
    lens,
    poly,
    ribbon,
    toward,
    wavy,
)

LEAF = (70, 132, 52), (104, 150, 60), (48, 104, 58)
BARK = (104, 76, 52), (84, 62, 48), (128, 98, 70)


@category(
    "apple", parts="body, stem, leaf",
    keypoints="top dip, bottom dip, left side, right side, left shoulder, right shoulder, stem tip, leaf tip",
    places=("table", "table", "flat"), turn=14,
)
def apple(d: Dice) -> Blueprint:
    """A ball with dips above and below, a stem, at times a leaf."""
    b = Blueprint()
    w, h, lean = d.between(0.8, 1.0), d.between(0.74, 0.88), d.spread(0.2)
    skin = Paint(d.color((190, 34, 36), (200, 60, 44), (132, 172, 62), (222, 184, 70)), "noise", 0.9, 1.1)
    body = lathe((0, -0.58 * h), (0.3 * w, -0.84 * h), (0.76 * w, -0.7 * h), (w, -0.15 * h),
        (0.86 * w, 0.45 * h),
                 (0.5 * w, 0.92 * h), (0.2 * w, 0.98 * h), (0, 0.88 * h))
    b.add("body", body, skin, lines=[arc(0, -0.72 * h, 0.26 * w, 0.12 * h, 10, 170)], at={
        "top dip": (0, -0.6 * h), "bottom dip": (0, 0.88 * h), "left side": (-0.97 * w, -0.15 * h),
        "right side": (0.97 * w, -0.15 * h), "left shoulder": (-0.45 * w, -0.8 * h),
        "right shoulder": (0.45 * w, -0.8 * h)})
    b.add("stem", ribbon([(0, -0.6 * h), (0.02, -0.85 * h), (lean, -1.15 * h)], [0.07, 0.07, 0.1]),
        Paint(d.color(*BARK), "wood"), at={"stem tip": (lean, -1.15 * h)}, detail=0.15)
    if d.chance(0.6):
        turn, length = d.between(-40, 0), d.between(0.45, 0.7)
        tip = toward(0.04, -0.88 * h, length, turn)
        b.add("leaf", lens(0.04, -0.88 * h, length, 0.34, turn), Paint(d.color(*LEAF), "fine", 0.3),
            detail=0.4,
            lines=[[(0.04, -0.88 * h), tip]], at={"leaf tip": tip})
    return b


@category(
    "pear", parts="body, stem, leaf, bottom",
    keypoints="neck top, left neck, right neck, left belly, right belly, bottom, stem tip, leaf tip",
    places=("table", "table", "flat"), turn=14,
)
def pear(d: Dice) -> Blueprint:
    """A narrow neck on a wide belly, with a stem."""
    b = Blueprint()
    w, neck, lean = d.between(0.62, 0.76), d.between(0.2, 0.3), d.spread(0.16)
    skin = Paint(d.color((190, 186, 70), (150, 170, 60), (206, 170, 80), (170, 110, 60)), "spots", 0.6, 1.1)
    body = lathe((0, -0.8), (neck * 0.75, -0.74), (neck * 1.05, -0.45), (neck * 1.25, -0.15), (w, 0.35),
                 (w * 0.9, 0.75), (w * 0.45, 0.98), (0, 0.98))
    b.add("body", body, skin, at={
        "neck top": (0, -0.79), "left neck": (-neck * 1.05, -0.4), "right neck": (neck * 1.05, -0.4),
        "left belly": (-w * 0.97, 0.4), "right belly": (w * 0.97, 0.4), "bottom": (0, 0.97)})
    b.add("bottom", ellipse(0, 0.93, 0.07, 0.03), Paint((70, 50, 36), "fine"), detail=0.9, on="body")
    b.add("stem", ribbon([(0, -0.76), (0, -0.95), (lean, -1.2)], [0.06, 0.06, 0.1]),
        Paint(d.color(*BARK), "wood"),
        at={"stem tip": (lean, -1.2)}, detail=0.1)
    if d.chance(0.5):
        turn = d.pick((d.between(-35, 10), d.between(170, 215)))
        tip = toward(0, -0.9, 0.6, turn)
        b.add("leaf", lens(0, -0.9, 0.6, 0.32, turn), Paint(d.color(*LEAF), "fine", 0.3),
            at={"leaf tip": tip},
            lines=[[(0, -0.9), tip]], detail=0.4)
    return b


@category(
    "pineapple", parts="body, crown",
    keypoints="crown tip, crown left, crown right, crown base, top left, top right, left side, right side, "
              "bottom",
    places=("table", "table", "flat"), turn=10,
)
def pineapple(d: Dice) -> Blueprint:
    """A barrel with diamonds and a crown of pointed leaves."""
    b = Blueprint()
    w, h, leaves = d.between(0.4, 0.52), d.between(0.55, 0.68), d.whole(3, 5)
    green = d.color((80, 122, 60), (96, 130, 82), (60, 104, 56))
    for k in range(-leaves, leaves + 1):
        spread = 62 * k / leaves
        length = d.between(0.6, 0.75) * (1 - 0.35 * abs(k) / leaves)
        names = {-leaves: "crown left", 0: "crown tip", leaves: "crown right"}
        tip = toward(0.03 * k, -0.2, length, -90 + spread)
        b.add("crown", lens(0.03 * k, -0.18, length, 0.22, -90 + spread),
            Paint(tint(green, d.between(0.75, 1.2)), "fine"),
            at={names[k]: tip} if k in names else {}, detail=0.0 if k in names else 0.35)
    middle, points = 0.33 + 0.05, 14
    lines = []
    for k in range(-3, 4):
        for side in (-1, 1):
            line = [(side * (-w + 2 * w * i / points), middle + h * (0.32 * k + 0.55 * (2 * i / points - 1)))
                    for i in range(points + 1)]
            lines.append([p for p in line if (p[0] / w) ** 2 + ((p[1] - middle) / h) ** 2 < 0.93])
    body = blob((0, middle - h), (0.62 * w, middle - 0.88 * h), (w, middle - 0.2 * h),
        (0.92 * w, middle + 0.5 * h),
                (0.5 * w, middle + 0.95 * h), (-0.5 * w, middle + 0.95 * h), (-0.92 * w, middle + 0.5 * h),
                (-w, middle - 0.2 * h), (-0.62 * w, middle - 0.88 * h))
    skin = Paint(d.color((200, 150, 50), (176, 130, 56), (190, 160, 70)), "scales", 0.2, 1.1)
    b.add("body", body, skin, lines=[line for line in lines if len(line) > 2], at={
        "crown base": (0, middle - h), "top left": (-0.62 * w, middle - 0.86 * h),
        "bottom": (0, middle + h * 0.97),
        "top right": (0.62 * w, middle - 0.86 * h), "left side": (-w * 0.97, middle),
        "right side": (w * 0.97, middle)})
    return b


@category(
    "banana", parts="body, stem, tip",
    keypoints="stem end, stem base, inner left, inner middle, inner right, outer left, outer middle, "
              "outer right, tip",
    places=("table", "flat"), turn=30,
)
def banana(d: Dice) -> Blueprint:
    """A curved fruit with a stem and a dark tip."""
    b = Blueprint()
    sag, thick = d.between(0.4, 0.6), d.between(0.34, 0.44)
    spine = [(-0.86, -0.42), (-0.68, -0.16), (-0.3, sag * 0.4), (0.15, sag * 0.48), (0.6, 0.05),
        (0.84, -0.34)]
    yellow = d.color((226, 194, 62), (214, 178, 46), (178, 190, 70))
    b.add("stem", ribbon([(-0.94, -0.66), (-0.86, -0.42)], [0.12, 0.14]), Paint(tint(yellow, 0.75), "fine"),
        at={"stem end": (-0.94, -0.68)})
    fat = [0.14, thick * 0.7, thick, thick, thick * 0.7, 0.1]
    ridge = [(-0.8, -0.32), (-0.6, -0.12), (-0.25, sag * 0.42), (0.15, sag * 0.42), (0.55, 0.05), (0.8, -0.3)]
    b.add("body", ribbon(spine, fat), Paint(yellow, "spots" if d.chance(0.3) else "noise", 0.4, 1.0),
        lines=[ridge], at={
        "stem base": (-0.86, -0.4), "inner left": (-0.42, -0.08),
        "inner middle": (-0.05, sag * 0.45 - thick * 0.48),
        "inner right": (0.46, -0.06), "outer left": (-0.48, sag * 0.42 + 0.08),
        "outer middle": (-0.05, sag * 0.47 + thick * 0.46), "outer right": (0.58, 0.22)})
    b.add("tip", ellipse(0.86, -0.39, 0.06, 0.06), Paint((70, 54, 34), "fine"), at={"tip": (0.87, -0.4)},
        detail=0.4)
    return b


@category(
    "ice cream", parts="cone, scoop, topping",
    keypoints="cone tip, cone left, cone right, cone middle, scoop top, scoop left, scoop right, "
              "scoop center",
    places=("table", "ground", "street"), turn=9,
)
def ice_cream(d: Dice) -> Blueprint:
    """A waffle cone with one to three scoops."""
    b = Blueprint()
    w, count = d.between(0.36, 0.46), d.whole(1, 3)
    waffle = Paint(d.color((210, 160, 96), (190, 136, 76)), "fine", 0.1, 0.8)
    grid = [[(x * w, 0.05), (x * w * 0.15 + side * 0.34 * w * (1 - abs(x)), 0.7)] for x in (-0.7, -0.2, 0.2,
        0.7) for side in (-1, 1)]
    b.add("cone", poly((-w, 0.0), (w, 0.0), (0.04, 1.0), (-0.04, 1.0)), waffle, lines=grid, at={
        "cone tip": (0, 0.98), "cone left": (-w * 0.9, 0.08), "cone right": (w * 0.9, 0.08),
        "cone middle": (0, 0.4)})
    flavours = (240, 224, 190), (226, 140, 160), (110, 70, 50), (160, 206, 160), (240, 200, 110)
    for k in range(count):
        y, r = -0.16 - 0.42 * k, w * (1.14 - 0.12 * k)
        last = k == count - 1
        ball = wavy(ellipse(0, y, r, r * 0.95, steps=48), 0.03 * d.spreads(16))
        b.add("scoop", ball, Paint(d.color(*flavours), "noise", 0.35, 1.1), at={
            **({"scoop left": (-r * 0.96, y), "scoop right": (r * 0.96, y), "scoop center": (0, y)}
            if k == 0 else {}),
            **({"scoop top": (0, y - r * 0.92)} if last else {})}, detail=0.0 if k == 0 or last else 0.1)
    if d.chance(0.4):
        b.add("topping", ellipse(0, -0.16 - 0.42 * (count - 1) - w, 0.1),
            Paint((190, 30, 44), "plain", 0.9, 1), detail=0.4)
    return b
