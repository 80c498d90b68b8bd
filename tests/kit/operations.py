"""What is in docs/operations, as the tests read it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.kit.processes import ROOT

FOLDER = ROOT / "docs" / "operations"


def dashboard() -> dict[str, Any]:
    """The dashboard for Grafana."""
    return dict(json.loads((FOLDER / "grafana-dashboard.json").read_text()))


def panels() -> list[dict[str, Any]]:
    """Those of its panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Panel, and which line of it → its expression; and those of the annotations."""
    drawn = {
        f"{panel['title']} ({panel['type']}) {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }
    marked = {one["name"]: one["expr"] for one in dashboard()["annotations"]["list"] if "expr" in one}
    return drawn | marked


def filled(expression: str, window: str = "5m") -> str:
    """An expression of the dashboard's with its variables filled in, as Grafana does it: everything is chosen."""
    values = {"__rate_interval": window, "__range": window, "instance": ".*", "tunnel_id": ".*"}
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)


def metric_names(expression: str) -> set[str]:
    """The metrics that a PromQL expression asks for."""
    text = re.sub(r"\{[^}]*\}", "", expression)  # label matchers
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)  # names of labels
    names = re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*\b(?!\s*\()", text)  # what is called is a function
    return set(names) - {"and", "or", "unless", "offset", "bool"}


def instruction(name: str) -> list[str]:
    """The words of an instruction of the Containerfile that is given as a list."""
    found = re.search(rf"^{name} .*?(\[.*\])$", (FOLDER / "Containerfile").read_text(), re.M)
    assert found is not None
    return list(json.loads(found[1]))


def block(language: str) -> str:
    """The first block of that language in README.md."""
    found = re.search(rf"^```{language}\n(.*?)^```", (FOLDER / "README.md").read_text(), re.M | re.S)
    assert found is not None
    return found[1]


def rule_file(rules: Mapping[str, str]) -> str:
    """A rule file for Prometheus that records each expression (JSON is YAML)."""
    records = [{"record": f"rule:{number}", "expr": rule} for number, rule in enumerate(rules.values())]
    return json.dumps({"groups": [{"name": "made", "rules": records}]})
