"""The pages of a calibration: its folder in, an answer and a lab page out, each one file.

They open by double click: no request, system fonts.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from misgen.analysis.calibration.handoff import CalibrationFile, read_calibration
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.priors.types import PriorSet
from misgen.analysis.report.answer import answer_of
from misgen.analysis.report.lab import lab_of
from misgen.analysis.risk.model import RiskModel

PAGE, LAB = "index.html", "lab.html"
_FOLDER = Path(__file__).parent
log = logging.getLogger(__name__)


def write_report(folder: Path, priors: PriorSet | None = None) -> Path:
    """Write index.html and lab.html beside the calibration they show; returns the first.

    priors: the set that was calibrated, needed only if it came from a user's file.
    Raises ValueError as `read_calibration` does, and without the priors it needs.
    """
    log.info("making the pages")
    file = read_calibration(Path(folder))
    models = models_of(file, priors)
    pages = {
        LAB: render("lab.html.j2", lab_of(file, models)),
        PAGE: render("answer.html.j2", answer_of(file, models)),
    }
    for name, text in pages.items():
        atomic_write_bytes(file.folder / name, text.encode())
    return file.folder / PAGE


def models_of(file: CalibrationFile, priors: PriorSet | None = None) -> dict[str, RiskModel]:
    """Word of the data -> model: the prior alone and, where data may enter, with data that
    are carried into the domains."""
    harm = file.summary.settings.harm
    assumed = "implied" if harm == "measured" else harm  # a prior has no measured harm
    found = {"none": RiskModel.from_calibration(file.folder, "none", assumed, priors=priors)}
    for data in () if file.summary.refused else ("combine", "only"):
        found[data] = RiskModel.from_calibration(
            file.folder, data, harm, toy_rates=True, priors=priors
        )
    return found


def render(template: str, page: Mapping[str, Any]) -> str:
    """A page as HTML; all text is escaped but the SVG, which the figure functions escape."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return templates.get_template(template).render(page=page)
