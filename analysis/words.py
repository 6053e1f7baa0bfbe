"""The words for one thing: what commands, files and pages call it, and what else is understood.

A prior file calls modifiers by the short name, tables and pages by the long one. Shift types go by
name or the source's number, domains, periods and interventions by name or the source's label.
"""

DATA = ("none", "combine", "only")
"""What a calibration's data do to a prediction: nothing; the posterior of source and data; the data
alone, where there are any."""
FORMER_DATA = {"side_by_side": "none", "update": "combine", "replace": "only"}
COLUMNS_OF = {"none": "prior", "combine": "combine", "only": "only"}
"""Data -> first part of their columns in draws.parquet."""

RATE_NAMES = {
    "p_capable": "P(capable)",
    "p_goal_fail": "P(goal fails)",
    "p_harm": "P(harm | fails)",
    "p_gm": "p_gm",
    "p_harmful_gm": "p_harmful_gm",
}
PRODUCTS = ("p_gm", "p_harmful_gm")
FORMER_PRODUCTS = {"gm": "p_gm", "harmful_gm": "p_harmful_gm"}
MODIFIERS = {
    "spec": "specification",
    "capability": "capability",
    "diversity": "training diversity",
    "method": "alignment method",
}


def data_of(word: str) -> str:
    """One of `DATA` for it or its former word; ValueError for another."""
    data = FORMER_DATA.get(word, word)
    if data not in DATA:
        raise ValueError(f"data is one of {', '.join(DATA)}; got {word!r}; choose one")
    return data


def product_of(word: str) -> str:
    """One of `PRODUCTS` for it or its former word; ValueError for another."""
    rate = FORMER_PRODUCTS.get(word, word)
    if rate not in PRODUCTS:
        raise ValueError(f"a rate is one of {', '.join(PRODUCTS)}; got {word!r}; choose one")
    return rate


def modifier_words(name: str) -> str:
    """`spec/below_human` as `specification: below human`."""
    modifier, *level = name.replace("_", " ").split("/")
    return ": ".join([MODIFIERS.get(modifier, modifier), *level])
