"""One word for one thing: the tables of words are those of files, commands and pages."""

from misgen.analysis.priors import load_priors
from misgen.analysis.rates import Rates
from misgen.analysis.report.what_if import panel
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.words import COLUMNS_OF, DATA, FORMER_DATA, MODIFIERS, RATE_NAMES
from misgen.experiments.answers.risk_options import MODIFIER_HELP


def test_modifiers_are_called_alike_in_prior_files_commands_and_pages() -> None:
    model = RiskModel.from_prior(draws=10)
    offered = panel({"none": model})["modifiers"]
    assert [*load_priors().modifiers] == [*MODIFIERS] == [*MODIFIER_HELP] == [*offered]
    assert [one["label"] for one in offered.values()] == [*MODIFIERS.values()]


def test_rates_are_those_that_are_computed() -> None:
    assert tuple(RATE_NAMES) == Rates._fields


def test_every_former_word_means_one_of_today_s() -> None:
    assert tuple(FORMER_DATA.values()) == DATA == tuple(COLUMNS_OF)
