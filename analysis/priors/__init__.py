"""The source's figures as typed priors: three named sets, and a user's own file.

    priors = load_priors()                    # "taxonomy": the source's table of shift types
    priors.shifts["moderate"].p_goal_fail     # Figure: .28, printed in 003, lines 56 to 63
    priors.modifiers["spec"].level(0.8)       # Level: a multiplier with its uncertainty

Printed values are the defaults; what follows from them by arithmetic stands beside them, and
`analysis.audit` lists where the two disagree. Figures of other revisions are labelled "external",
choices of this project "ours".
"""

from misgen.analysis.priors.load import figures, load_priors
from misgen.analysis.priors.types import Figure, PriorSet

__all__ = ["Figure", "PriorSet", "figures", "load_priors"]
