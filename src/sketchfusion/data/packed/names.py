"""What things are called: folder labels -> class names in plain English, and the sentences around them.

The open data sets name the same thing differently (``Motorbikes``, ``motorbike``, ``motorcycle``); one name for all is
what ties a photo to a drawing.
"""

from __future__ import annotations

KINDS = ("photo", "drawing", "sketch", "emoji", "icon")
"""What a picture is: a photo; a vector drawing; a drawing in pixels; a colour picture with alpha; a line icon."""

TEMPLATES = {  # the last of each kind is the bare name
    "photo": ("a photo of {a}", "a picture of {a}", "a photograph of {a}", "{name}"),
    "drawing": ("a sketch of {a}", "a drawing of {a}", "a doodle of {a}", "{name}"),
    "sketch": ("a sketch of {a}", "a drawing of {a}", "a doodle of {a}", "{name}"),
    "emoji": ("an emoji of {a}", "a picture of {a}", "clip art of {a}", "{name}"),
    "icon": ("an icon of {a}", "a line drawing of {a}", "a drawing of {a}", "{name}"),
}
NAMELESS = {"photo": "a photo", "drawing": "a sketch", "sketch": "a sketch", "emoji": "an emoji", "icon": "an icon"}

ALIASES = {
    # Caltech-101
    "airplanes": "airplane", "background google": "", "binocular": "binoculars", "car side": "car",
    "cellphone": "cell phone", "cougar body": "cougar", "cougar face": "cougar", "crocodile head": "crocodile",
    "electric guitar": "guitar", "faces": "face", "faces easy": "face", "flamingo head": "flamingo",
    "grand piano": "piano", "hawksbill": "sea turtle", "headphone": "headphones", "leopards": "leopard",
    "motorbikes": "motorbike", "rhino": "rhinoceros", "water lilly": "water lily",
    # clothing
    "body": "bodysuit", "longsleeve": "long sleeve shirt", "outwear": "jacket", "polo": "polo shirt", "shoes": "shoe",
    # groceries: varieties are apples, pears, melons ...
    "anjou": "pear", "conference": "pear", "kaiser": "pear", "cantaloupe": "melon", "galia melon": "melon",
    "honeydew melon": "melon", "golden delicious": "apple", "granny smith": "apple", "pink lady": "apple",
    "red delicious": "apple", "royal gala": "apple", "red grapefruit": "grapefruit", "satsumas": "tangerine",
    "beef tomato": "tomato", "regular tomato": "tomato", "vine tomato": "tomato", "floury potato": "potato",
    "solid potato": "potato", "green bell pepper": "bell pepper", "orange bell pepper": "bell pepper",
    "red bell pepper": "bell pepper", "yellow bell pepper": "bell pepper", "yellow onion": "onion",
    "brown cap mushroom": "mushroom", "aubergine": "eggplant", "carrots": "carrot", "red beet": "beet",
    # Quick, Draw! and emoji
    "t shirt": "t-shirt", "wristwatch": "watch", "motorcycle": "motorbike", "mobile phone": "cell phone",
    "red apple": "apple", "green apple": "apple", "automobile": "car", "musical keyboard": "piano",
    "grinning face": "smiley face", "shoe prints": "footprints", "running shoe": "shoe", "jeans": "pants",
    "necktie": "tie", "eyeglasses": "glasses", "television": "television", "rollerskates": "roller skate",
    "the mona lisa": "mona lisa", "the eiffel tower": "eiffel tower",
}
PACKAGES = (("yoghurt", "yoghurt"), ("ghurt", "yoghurt"), ("cream", "sour cream"), ("milk", "milk carton"),
            ("", "juice carton"))


def class_name(label: str) -> str:
    """The one name of a class, lower case with spaces; empty where the label names nothing.

    Args:
        label: folder name, ``word`` of Quick, Draw!, emoji name or icon name.
    """
    kind, _, rest = label.partition("_")
    if kind == "packages" and rest:
        return next(name for part, name in PACKAGES if part in rest)
    if kind in ("fruit", "vegetables") and rest:
        label = rest
    name = " ".join(label.lower().replace("_", " ").replace("-", " ").split())
    return ALIASES.get(name, name)


def emoji_name(name: str, group: str) -> str:
    """As ``class_name``; the head of an animal is the animal."""
    if group == "animals-nature":
        name = name.removesuffix(" face")
    return class_name(name)


def captions(kind: str, name: str) -> list[str]:
    """Every sentence about one class of one kind, in the order of ``TEMPLATES``; a class without a name has one."""
    if not name:
        return [NAMELESS[kind]] * len(TEMPLATES[kind])
    article = "an" if name[0] in "aeiou" else "a"
    return [template.format(a=f"{article} {name}", name=name) for template in TEMPLATES[kind]]
