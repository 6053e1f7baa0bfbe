"""The source's figures as typed priors: three named sets, and a user's own file.

    priors = load_priors()                    # "taxonomy": the source's table of shift types
    priors.shifts["moderate"].p_goal_fail     # Figure: .28, printed in 003, lines 56 to 63
    priors.modifiers["spec"].level(0.8)       # Level: a multiplier with its uncertainty
    priors.figures["shifts.moderate.p_gm"]    # .182: every figure by its dotted name

Printed values are the defaults; what follows from them by arithmetic stands beside them, and
`analysis.audit` lists where the two disagree. Figures of other revisions are labelled "external".
Tables that no prior is made of are read by `analysis.priors.source`, for `misgen risk source`.
"""

from misgen.analysis.priors.load import load_priors
from misgen.analysis.priors.source import Figure
from misgen.analysis.priors.types import PriorSet

__all__ = ["Figure", "PriorSet", "load_priors"]
