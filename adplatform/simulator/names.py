"""Words for products and headlines, so that a report reads like one."""

from __future__ import annotations

from typing import Final

PRODUCTS: Final = (
    ("Trail Shoes", "Running Watch", "Rain Jacket"),
    ("Cast Iron Pan", "Spice Box", "Chef's Knife"),
    ("City Breaks", "Rail Pass", "Cabin Suitcase"),
    ("Game Controller", "Gaming Headset", "Puzzle Pass"),
    ("Cordless Drill", "Workbench", "Paint Set"),
    ("Family Museum Card", "Cargo Bike", "Picture Books"),
    ("Savings Plan", "Tax Helper", "Index Fund"),
    ("Practice Piano", "Concert Card", "Studio Microphone"),
)
"""Three products for each category, in the order of CATEGORIES."""
HEADLINES: Final = (
    (
        "{}: big fun, small price",
        "{} so good it makes you grin",
        "{}? Easy as pie",
        "Say hello to the new {}",
    ),
    (
        "{}: refined, and fairly priced",
        "{}, crafted without compromise",
        "{}: effortless by design",
        "The new {}, first of its kind",
    ),
    (
        "{}: today's price ends soon",
        "{}: our best, while stocks last",
        "{} at your door tomorrow",
        "New: {}. Be among the first",
    ),
    (
        "{}: honest value, every day",
        "{}: tested, proven, yours",
        "{}: simple, with help at hand",
        "{}, renewed by people you know",
    ),
)
"""By tone, then appeal."""
