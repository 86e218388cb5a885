"""A truth in the revisited layout that is small enough to be worked out on paper.

With descriptors at 0° and 40° for the queries and 10°, 5°, 20° and 30° for the images, q sees b (easy, 5°), a (junk,
10°), c (20°) and d (hard, 30°). r has no easy positive.
"""

GND = {
    "imlist": ["a", "b", "c", "d"],
    "qimlist": ["q", "r"],
    "gnd": [
        {"bbx": [0, 0, 9, 9], "easy": [1], "hard": [3], "junk": [0]},
        {"bbx": [0, 0, 9, 9], "easy": [], "hard": [3], "junk": []},
    ],
}
