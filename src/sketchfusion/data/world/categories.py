"""All categories, by name."""

from __future__ import annotations

from sketchfusion.data.world.categories_animals import cat, dog, elephant, giraffe, rabbit, snail
from sketchfusion.data.world.categories_birds import bird, butterfly, owl
from sketchfusion.data.world.categories_buildings import (
    castle,
    house,
    lighthouse,
    snowman,
    star_shape,
    windmill,
)
from sketchfusion.data.world.categories_food import apple, banana, ice_cream, pear, pineapple
from sketchfusion.data.world.categories_household import (
    chair,
    clock,
    floor_lamp,
    hat,
    laptop,
    shoe,
    table,
    umbrella,
)
from sketchfusion.data.world.categories_plants import cactus, flower, leaf, mushroom, palm_tree, tree
from sketchfusion.data.world.categories_sea import duck, fish, penguin, sea_turtle
from sketchfusion.data.world.categories_tableware import cup, teapot, wine_bottle, wine_glass
from sketchfusion.data.world.categories_tools import (
    eyeglasses,
    guitar,
    hammer,
    key,
    light_bulb,
    pencil,
    scissors,
    sword,
)
from sketchfusion.data.world.categories_vehicles import (
    airplane,
    bicycle,
    bus,
    car,
    helicopter,
    hot_air_balloon,
    sailboat,
    truck,
)
from sketchfusion.data.world.recipe import Category

# The order is the class index: alphabetical.
CATEGORIES: dict[str, Category] = {category.name: category for category in (
    airplane, apple, banana, bicycle, bird, bus, butterfly, cactus, car, castle, cat, chair, clock, cup, dog,
    duck, elephant, eyeglasses, fish, floor_lamp, flower, giraffe, guitar, hammer, hat, helicopter,
    hot_air_balloon, house, ice_cream, key, laptop, leaf, light_bulb, lighthouse, mushroom, owl, palm_tree,
    pear, pencil, penguin, pineapple, rabbit, sailboat, scissors, sea_turtle, shoe, snail, snowman,
    star_shape, sword, table, teapot, tree, truck, umbrella, windmill, wine_bottle, wine_glass,
)}
