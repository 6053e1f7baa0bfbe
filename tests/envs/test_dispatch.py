"""One rule for all cells: each cell gets its own, equal ones are called in one place."""

from misgen.envs.core.compile import hole, kernel
from misgen.envs.core.family import dispatch

of_cell = hole("of_cell")


def double(value):
    return 2 * value


def square(value):
    return value * value


def dispatch_kernel(cell, value):
    return of_cell(cell, value)


def test_cell_k_gets_its_rule():
    rule = dispatch("of_cell", [double, square, double, abs_of], "value", __name__)
    for interpreted in (True, False):
        run = kernel(dispatch_kernel, "test_dispatch", interpreted=interpreted, of_cell=rule)
        assert [run(cell, -3) for cell in range(4)] == [-6, 9, -6, 3]


def abs_of(value):
    return abs(value)


def test_equal_rules_are_called_in_one_place():
    rule = dispatch("of_cell", [double, square, double, double], "value", __name__)
    called = [name for name in rule.__code__.co_names if name.startswith("rule_")]
    assert called == ["rule_0", "rule_1"]
    only = dispatch("of_cell", [double, double], "value", __name__)
    assert only.__code__.co_names == ("rule_0",) and only(7, 4) == 8
