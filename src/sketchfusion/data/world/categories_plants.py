"""Plants."""

from __future__ import annotations

import numpy as np

from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Paint, category
from sketchfusion.data.world.shapes import Point, arc, blob, box, ellipse, lens, poly, ribbon, toward, wavy

LEAF = (70, 132, 52), (104, 150, 60), (48, 104, 58)
BARK = (104, 76, 52), (84, 62, 48), (128, 98, 70)


@category(
    "mushroom", parts="cap, stem, spot, ring",
    keypoints="cap top, cap left, cap right, cap left shoulder, cap right shoulder, stem top left, "
              "stem top right, stem bottom left, stem bottom right",
    places=("ground",), turn=9,
)
def mushroom(d: Dice) -> Blueprint:
    """A domed cap, with or without spots, on a stem."""
    b = Blueprint()
    w, tall, stem, foot = d.between(0.75, 0.98), d.between(0.6, 0.95), d.between(0.17, 0.26), d.between(1.1,
        1.7)
    flesh = Paint(d.color((230, 220, 196), (214, 196, 164)), "wood", 0.1, 0.9)
    b.add("stem", poly((-stem, -0.2), (stem, -0.2), (stem * 1.05, 0.5), (stem * foot, 0.9),
        (stem * 0.6, 0.97),
                       (-stem * 0.6, 0.97), (-stem * foot, 0.9), (-stem * 1.05, 0.5)), flesh, at={
        "stem top left": (-stem, 0.08), "stem top right": (stem, 0.08),
        "stem bottom left": (-stem * foot * 0.95, 0.88), "stem bottom right": (stem * foot * 0.95, 0.88)})
    if d.chance(0.4):
        b.add("ring", ellipse(0, 0.22, stem * 1.35, 0.08), Paint(tint(flesh.color, 1.4), "fine"), detail=0.6,
            on="stem")
    cap = d.color((190, 40, 34), (150, 96, 58), (198, 140, 78), (120, 80, 66))
    dome = blob((-w, -0.02), (-0.86 * w, -0.45 * tall), (-0.4 * w, -0.88 * tall), (0, -0.98 * tall),
        (0.4 * w, -0.88 * tall),
                (0.86 * w, -0.45 * tall), (w, -0.02), (0.6 * w, 0.1), (0, 0.13), (-0.6 * w, 0.1))
    b.add("cap", dome, Paint(cap, "noise", 0.6, 1.1), at={
        "cap top": (0, -0.97 * tall), "cap left": (-0.97 * w, -0.04), "cap right": (0.97 * w, -0.04),
        "cap left shoulder": (-0.68 * w, -0.64 * tall), "cap right shoulder": (0.68 * w, -0.64 * tall)})
    if d.chance(0.65):
        spots = ((-0.5, -0.3), (0.0, -0.68), (0.45, -0.42), (0.05, -0.22), (-0.3, -0.62), (0.72, -0.15))
        for x, y in spots[: d.whole(3, 6)]:
            r = d.between(0.08, 0.14)
            b.add("spot", ellipse(x * w, y * tall, r, r * 0.85), Paint((240, 234, 220), "fine", 0.1, 0.5),
                detail=0.5, on="cap")
    return b


@category(
    "flower", parts="stem, leaf, petal, center",
    keypoints="center, top petal, right petal, bottom petal, left petal, stem top, stem middle, "
              "stem bottom, leaf tip",
    places=("ground", "ground", "table"), turn=10,
)
def flower(d: Dice) -> Blueprint:
    """Petals about a center, on a stem with leaves."""
    b = Blueprint()
    count, reach, fat = d.pick((5, 6, 8, 12)), d.between(0.5, 0.62), d.between(0.75, 1.2)
    lean, green = d.spread(0.14), d.color(*LEAF)
    y = -0.45
    b.add("stem", ribbon([(0, y), (lean, 0.3), (0, 1.0)], [0.05, 0.07, 0.08]), Paint(green, "fine", 0.1, 0.9),
        at={"stem top": (lean * 0.3, y + reach + 0.05), "stem middle": (lean, 0.35),
        "stem bottom": (0, 1.0)})
    for side in (-1, 1)[: d.whole(1, 2)]:
        turn = -90 + side * d.between(38, 62)
        tip = toward(lean * 0.7, 0.7, 0.58, turn)
        b.add("leaf", lens(lean * 0.7, 0.7, 0.58, 0.28, turn), Paint(tint(green, 1.1), "fine", 0.2),
            detail=0.35,
            lines=[[(lean * 0.7, 0.7), tip]], at={"leaf tip": tip} if side == -1 else {})
    color = d.color((226, 90, 130), (240, 236, 228), (236, 196, 60), (150, 96, 190), (220, 70, 50),
        (90, 120, 210))
    named = {round(count * k / 4): name for k,
        name in enumerate(("top petal", "right petal", "bottom petal", "left petal"))}
    for k in range(count):
        turn = -90 + 360 * k / count
        x, at_y = toward(0, y, reach * 0.58, turn)
        petal = ellipse(0, 0, reach * 0.45, reach * 1.7 * fat / max(count, 6)).moved(turn=turn).moved(x, at_y)
        b.add("petal", petal, Paint(tint(color, d.between(0.94, 1.1)), "plain", 0.1, 0.7),
            at={named[k]: toward(0, y, reach * 0.98, turn)} if k in named else {},
            detail=0.0 if k in named else 0.12)
    b.add("center", ellipse(0, y, reach * d.between(0.25, 0.36)),
        Paint(d.color((226, 180, 50), (120, 76, 40)), "spots", 0.1, 1),
        at={"center": (0, y)})
    return b


@category(
    "leaf", parts="blade, stalk",
    keypoints="tip, upper left, upper right, middle left, middle right, base, stalk middle, stalk end",
    places=("flat", "flat", "ground"), turn=40,
)
def leaf(d: Dice) -> Blueprint:
    """A single leaf with veins, with a smooth or a toothed border."""
    b = Blueprint()
    w, color = d.between(0.42, 0.66), d.color(*LEAF, (190, 110, 40), (180, 60, 40), (206, 170, 60))
    blade = blob((0, -1), (0.45 * w, -0.62), (0.92 * w, -0.2), (0.95 * w, 0.18), (0.5 * w, 0.5), (0, 0.6),
                 (-0.5 * w, 0.5), (-0.95 * w, 0.18), (-0.92 * w, -0.2), (-0.45 * w, -0.62), steps=8)
    if d.chance(0.4):
        blade = wavy(blade, d.between(0.05, 0.09) * np.where(d.uniforms(26) > 0.5, -1.0, 1.0))
    veins: list[list[Point]] = [[(0, 0.6), (0, -0.9)]]
    for k in range(d.whole(3, 5)):
        y = 0.4 - 0.28 * k
        veins += [[(0, y), (side * w * 0.74 * (1 - abs(y + 0.05) * 0.75), y - 0.26)] for side in (-1, 1)]
    end = d.spread(0.2)
    b.add("stalk", ribbon([(0, 0.5), (0.02, 0.8), (end, 1.05)], [0.05, 0.05, 0.07]),
        Paint(tint(color, 0.7), "fine"),
        at={"stalk middle": (0.02, 0.8), "stalk end": (end, 1.05)})
    b.add("blade", blade, Paint(color, "fine", 0.35, 0.5), lines=veins, at={
        "tip": (0, -0.98), "upper left": (-0.7 * w, -0.42), "upper right": (0.7 * w, -0.42),
        "middle left": (-0.93 * w, 0.1), "middle right": (0.93 * w, 0.1), "base": (0, 0.58)})
    return b


@category(
    "tree", parts="trunk, crown, fruit",
    keypoints="crown top, crown left, crown right, crown bottom left, crown bottom right, trunk top, "
              "trunk middle, foot left, foot right",
    places=("ground", "ground", "street"), turn=4,
)
def tree(d: Dice) -> Blueprint:
    """A trunk under a billowing crown; or a fir of stacked tiers."""
    b = Blueprint()
    thick, green = d.between(0.09, 0.16), d.color((64, 108, 48), (90, 128, 56), (44, 88, 52), (160, 110, 44))
    fir = d.chance(0.3)
    trunk = poly((-thick, -0.1), (thick, -0.1), (thick * 1.1, 0.75), (thick * 1.9, 1.0), (-thick * 1.9, 1.0),
        (-thick * 1.1, 0.75))
    w = d.between(0.5, 0.6) if fir else d.between(0.66, 0.85)
    low, top = (0.55, -1.0) if fir else (0.3, -1.0)
    b.add("trunk", trunk, Paint(d.color(*BARK), "bands", 0, 0.9), at={
        "trunk top": (0, low + 0.14), "trunk middle": (0, low + 0.35), "foot left": (-thick * 1.8, 0.98),
        "foot right": (thick * 1.8, 0.98)})
    side, foot_x, foot_y = (0.42, 0.4, 0.55) if fir else (-0.35, 0.58, 0.15)
    places = {
        "crown top": (0, top), "crown left": (-w, side), "crown right": (w, side),
        "crown bottom left": (-w * foot_x, foot_y), "crown bottom right": (w * foot_x, foot_y)}
    if fir:
        for k, (y, half) in enumerate(((0.5, 1.0), (0.05, 0.78), (-0.4, 0.55))):
            tier = poly((0, y - 0.62), (half * w, y), (half * w * 0.4, y + 0.06), (0, y),
                (-half * w * 0.4, y + 0.06), (-half * w, y))
            names = ("crown left", "crown right", "crown bottom left", "crown bottom right") if k == 0 else (
                ("crown top",) if k == 2 else ())
            b.add("crown", tier, Paint(tint(green, 0.85 + 0.12 * k), "foliage", 0, 0.5),
                at={n: places[n] for n in names})
        return b
    lobes = d.whole(9, 13)
    depths = d.between(0.05, 0.09) * (1 + d.spreads(2 * lobes) * 0.5)
    depths[1::2] *= -1
    crown = wavy(ellipse(0, -0.35, w, 0.66, steps=96), depths)
    curls = [arc(x * w, y, 0.16, 0.1, 180, 340, 6) for x, y in ((-0.4, -0.45), (0.25, -0.6), (0.1, -0.15),
        (0.5, -0.2))]
    b.add("crown", crown, Paint(green, "foliage", 0, 1.0), lines=curls, at=places)
    for _ in range(d.whole(4, 7) if d.chance(0.3) else 0):
        b.add("fruit", ellipse(d.spread(0.5), -0.35 + d.spread(0.4), 0.06),
            Paint(d.color((200, 50, 40), (230, 160, 50)), "plain", 0.5),
            detail=0.6, on="crown")
    return b


@category(
    "palm tree", parts="trunk, frond, coconut",
    keypoints="heart, frond tip 1, frond tip 2, frond tip 3, frond tip 4, frond tip 5, trunk middle, "
              "foot left, foot right",
    places=("ground", "water"), turn=5,
)
def palm_tree(d: Dice) -> Blueprint:
    """A bent trunk with hanging fronds."""
    b = Blueprint()
    bend, fronds = d.between(-0.35, 0.35), d.whole(5, 7)
    x, y = bend, -0.5
    bark = Paint(d.color((140, 110, 76), (120, 96, 74)), "bands", 0, 0.9)
    rings = [[(bend * (1 - t) ** 2 - 0.08, 1 - 1.4 * (1 - t)),
        (bend * (1 - t) ** 2 + 0.08, 1 - 1.4 * (1 - t))] for t in (0.2, 0.45, 0.7)]
    b.add("trunk", ribbon([(0, 1), (bend * 0.2, 0.3), (x, y)], [0.24, 0.16, 0.11]), bark, lines=rings,
        at={"trunk middle": (bend * 0.2, 0.3), "foot left": (-0.11, 0.98), "foot right": (0.11, 0.98)})
    green = d.color((70, 124, 50), (96, 140, 60), (50, 104, 56))
    for k in range(fronds):
        turn = -200 + 220 * (k + 0.5) / fronds + d.spread(8)
        out, length = toward(x, y, 0.5, turn), d.between(0.75, 0.95)
        tip = toward(x, y, length, turn)
        tip = (tip[0], tip[1] + 0.36)
        shape = ribbon([(x, y), (out[0], out[1] - 0.08), tip], [0.08, 0.22, 0.02])
        b.add("frond", shape, Paint(tint(green, d.between(0.8, 1.2)), "fur", 0.1, 0.7),
            lines=[[(x, y), (out[0], out[1] - 0.08), tip]],
            at={f"frond tip {k + 1}": tip} if k < 5 else {}, detail=0.0 if k < 5 else 0.3)
    for k in range(d.whole(1, 3)):
        name = {"heart": (x, y + 0.03)} if k == 0 else {}
        b.add("coconut", ellipse(x + (0, 0.12, -0.12)[k], y + 0.05 + 0.04 * k, 0.09),
            Paint((104, 70, 44), "fine", 0.2, 1), at=name, detail=0.1)
    return b


@category(
    "cactus", parts="body, arm, pot, flower",
    keypoints="top, left arm tip, left elbow, right arm tip, right elbow, body left, body right, "
              "base left, base right",
    places=("ground", "table", "room"), turn=4,
)
def cactus(d: Dice) -> Blueprint:
    """A ribbed column with raised arms, wild or in a pot."""
    b = Blueprint()
    w, potted = d.between(0.2, 0.28), d.chance(0.5)
    foot = 0.5 if potted else 1.0
    green = d.color((70, 124, 70), (92, 140, 80), (60, 110, 92))
    skin = Paint(green, "stripes", 0.1, 1.0)
    for side, name in ((-1, "left"), (1, "right")):
        y, out, tip = d.between(-0.1, 0.22), side * d.between(0.58, 0.75), d.between(-0.65, -0.3)
        arm = ribbon([(0, y), (out * 0.85, y), (out, y - 0.16), (out, tip)], [w * 1.1, w * 1.1, w * 1.1, w])
        b.add("arm", arm, skin, at={f"{name} arm tip": (out, tip - w * 0.35),
            f"{name} elbow": (out * 0.97, y + 0.02)})
    body = blob((-w, foot), (-w * 1.06, 0.2), (-w, -0.6), (-w * 0.6, -0.93), (0, -1), (w * 0.6, -0.93),
        (w, -0.6), (w * 1.06, 0.2), (w, foot))
    ribs = [[(x * w, -0.75), (x * w * 1.05, 0.0), (x * w, foot - 0.05)] for x in (-0.4, 0.4)]
    b.add("body", body, skin, lines=ribs, at={
        "top": (0, -0.99), "body left": (-w * 1.02, -0.4), "body right": (w * 1.02, -0.4),
        **({} if potted else {"base left": (-w, 0.98), "base right": (w, 0.98)})})
    if d.chance(0.4):
        for k in range(5):
            b.add("flower", lens(0, -0.96, 0.24, 0.14, -150 + 30 * k),
                Paint(d.color((226, 80, 130), (240, 190, 60)), "plain"), detail=0.5)
    if potted:
        clay = Paint(d.color((186, 100, 66), (90, 110, 140), (210, 200, 184)), "noise", 0.3, 0.9)
        b.add("pot", poly((-0.46, 0.5), (0.46, 0.5), (0.34, 1.0), (-0.34, 1.0)), clay,
            at={"base left": (-0.34, 0.98), "base right": (0.34, 0.98)})
        b.add("pot", box(-0.52, 0.38, 0.52, 0.55), Paint(tint(clay.color, 1.1), "noise", 0.2, 0.8))
    return b
