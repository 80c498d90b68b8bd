"""Variables as they were meant."""

import pytest

from actors.processes.environment import variable


@pytest.mark.parametrize(
    ("environment", "value"),
    [
        ({"NAME": "8080"}, "8080"),
        ({"NAME": " 8080\t"}, "8080"),
        ({"NAME": "8080\r"}, "8080"),
        ({"NAME": "\ufeff8080\r\n"}, "8080"),
        ({"\ufeffNAME": "8080\r"}, "8080"),
        ({"NAME": "a b"}, "a b"),
        ({"NAME": " \r"}, ""),
        ({}, ""),
    ],
)
def test_what_an_editor_left_around_a_value_is_none_of_it(environment: dict[str, str], value: str) -> None:
    assert variable(environment, "NAME") == value
