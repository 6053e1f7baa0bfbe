"""The page: a calibration folder in, one self-contained index.html out.

It opens by double click: no script, no request, system fonts.
"""

from pathlib import Path
from typing import Any

from misgen.analysis.audit import audit
from misgen.analysis.calibration.handoff import read_calibration
from misgen.analysis.files import atomic_write_bytes
from misgen.analysis.priors.types import PriorSet
from misgen.analysis.report import check_sections as check
from misgen.analysis.report import measured_sections as measured
from misgen.analysis.report import model_sections as model
from misgen.analysis.report import modifier_sections as modifier
from misgen.analysis.report.content import Page

PAGE = "index.html"
_FOLDER = Path(__file__).parent


def write_report(folder: Path, priors: PriorSet | None = None) -> Path:
    """Write index.html beside the calibration it shows; returns its path.

    priors: the set that was calibrated, needed only if it came from a user's file.
    Raises ValueError as `read_calibration` does, and without the priors it needs.
    """
    path = Path(folder) / PAGE
    atomic_write_bytes(path, render(page_of(Path(folder), priors)).encode())
    return path


def page_of(folder: Path, priors: PriorSet | None = None) -> Page:
    """Everything on the page, computed from the folder."""
    file = read_calibration(folder)
    prior = model.prior_model(file, priors)
    calibrated = model.calibrated_model(file, priors)
    return Page(
        status=measured.status(file),
        findings=check.findings(file),
        has_posterior=calibrated is not None,
        headline=measured.headline(file),
        factors=measured.factors(file),
        posteriors=measured.posteriors(file),
        modifiers=modifier.modifiers(file, prior.priors),
        doses=modifier.doses(file),
        domains=model.domains(prior, calibrated),
        tornado=model.tornados(prior, calibrated),
        conflict_summary=check.conflict_summary(file),
        conflicts=check.conflicts(file),
        fit_notes=check.fit_notes(file),
        fit=check.fit(file),
        attrition=check.attrition(file),
        held_out_summary=check.held_out_summary(file),
        held_out=check.held_out(file),
        kappas=check.kappas(file),
        audit=audit(prior.priors),
        provenance=check.provenance(file),
    )


def render(page: Page) -> str:
    """The page as HTML; all text is escaped but the SVG, which the figure functions escape."""
    text: str = environment().get_template("page.html.j2").render(page=page)
    return text


def environment() -> Any:
    """Of the templates in this folder."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
