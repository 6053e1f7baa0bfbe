"""The risk model's table: domains by periods."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from misgen.analysis.priors.types import Domain, Period
from misgen.analysis.risk.draws import Summary
from misgen.analysis.risk.formula import APART
from misgen.analysis.risk.model import RiskModel
from misgen.analysis.tables import Table


@dataclass(frozen=True)
class DomainRow:
    """A domain in a period. printed: the source's range for then, None where it prints none.
    product: p_harmful_gm by the source's product, and how often that exceeds 1."""

    domain: Domain
    period: Period
    printed: tuple[float, float] | None
    p_harmful_gm: Summary
    p_gm: Summary
    clipped_share: float
    product: Summary
    product_clipped_share: float
    notes: tuple[str, ...]

    @property
    def is_apart(self) -> bool:
        """Whether the source's product says something else."""
        return abs(self.product.mean - self.p_harmful_gm.mean) > APART * self.p_harmful_gm.mean


def domain_rows(model: RiskModel, **options: Any) -> list[DomainRow]:
    """Every domain in every period. options: further arguments of `RiskModel.predict`."""
    rows = []
    for domain in model.priors.domains.values():
        # The source prints a current range, and one for 2027.
        printed = {"2024-2025": domain.p_current.range, "2026-2027": domain.p_2027.range}
        for period in model.priors.periods.values():
            found = model.predict(domain=domain.name, period=period.name, **options)
            product = found.as_printed
            row = DomainRow(
                domain,
                period,
                printed.get(period.name),
                Summary.of(found.p_harmful_gm),
                Summary.of(found.p_gm),
                found.clipped_share,
                Summary.of(product.p_harmful_gm),
                product.harmful_clipped_share,
                found.scenario.warnings,
            )
            rows.append(row)
    return rows


def domain_table(models: Mapping[str, Sequence[DomainRow]]) -> Table:
    """A column of p_harmful_gm per model ("none", "combine") beside the printed range [%]."""
    rows = []
    for of_models in zip(*models.values(), strict=True):
        first = of_models[0]
        printed = "" if first.printed is None else "{:.0%} to {:.0%}".format(*first.printed)
        rates = [row.p_harmful_gm.percent() for row in of_models]
        rows.append([
            first.domain.label, first.period.name, printed.replace("%", ""), *rates,
            format_product(of_models[-1]),
        ])  # fmt: skip
    header = ["domain", "period", "source [%]", *(f"{name} [%]" for name in models),
              "as a product [%]"]  # fmt: skip
    title = "P(harmful goal misgeneralization): median and central 90 %"
    return Table(title, header, rows, _LEGEND, keys=2)


_LEGEND = (
    "as a product: what the source's formula, all multipliers times all factors, would say, where "
    "it differs by more than a fifth: it may exceed P(capable) x P(harm | fails), which no "
    "misgeneralization can. The source prints ranges for two periods."
)


def format_product(row: DomainRow) -> str:
    """p_harmful_gm by the source's product where that says something else, else nothing."""
    if not row.is_apart:
        return ""
    return "above 1: no forecast" if row.product_clipped_share > 0.5 else row.product.percent()


def domain_records(models: Mapping[str, Sequence[DomainRow]]) -> Iterator[dict[str, Any]]:
    """A flat row per model, domain, period: every number of the table and those of p_gm."""
    for name, rows in models.items():
        for row in rows:
            low, high = row.printed or (None, None)
            yield {
                "model": name,
                "domain": row.domain.name,
                "period": row.period.name,
                "printed_low": low,
                "printed_high": high,
                **{f"p_harmful_gm_{key}": value for key, value in vars(row.p_harmful_gm).items()},
                **{f"p_gm_{key}": value for key, value in vars(row.p_gm).items()},
                "clipped_share": row.clipped_share,
                **{f"product_{key}": value for key, value in vars(row.product).items()},
                "product_clipped_share": row.product_clipped_share,
                "notes": "; ".join(row.notes),
            }
