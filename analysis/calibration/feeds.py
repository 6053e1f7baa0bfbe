"""What the data of a calibration do to a prediction: three feeds, and the words for them."""

FEEDS = ("side_by_side", "update", "replace")
FEED_WORDS = {"none": "side_by_side", "combine": "update", "only": "replace"}
"""Other words for the feeds, understood wherever one is named."""
COLUMNS_OF = {"side_by_side": "prior", "update": "update", "replace": "replace"}
"""Feed -> first part of its columns: side by side, the measured rates move nothing."""


def feed_of(word: str) -> str:
    """The feed that a word means; ValueError for another word."""
    feed = FEED_WORDS.get(word, word)
    if feed not in FEEDS:
        known = ", ".join([*FEEDS, *FEED_WORDS])
        raise ValueError(f"a feed is one of {known}; got {word!r}; choose one")
    return feed
