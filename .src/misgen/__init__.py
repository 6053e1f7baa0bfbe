"""A reinforcement-learning testbed that measures goal misgeneralization.

`misgen.envs` holds the environments, `misgen.agents` what is trained on them, `misgen.experiments`
and `misgen.configs` the commands, `misgen.analysis` what turns episodes into rates and risk (and
needs none of the others).
"""

__version__ = "0.4.0.dev0"
