"""The catalogue of events is complete and true."""

import json
from pathlib import Path

from actors.bus import events
from actors.tools.catalogue import kinds, markdown, schema, topic

ROOT = Path(__file__).parents[2]


def test_document_is_what_the_schema_says() -> None:
    again = "run .venv/bin/python -m actors.tools.catalogue > docs/events.md"
    assert (ROOT / "docs" / "events.md").read_text() == markdown(), again


def test_every_event_is_in_the_union_and_in_the_schema() -> None:
    every = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)}
    assert set(kinds()) == every - {events.Event}
    text = json.dumps(schema())
    assert all(f'"{topic(kind)}"' in text for kind in kinds())


def test_every_field_is_there() -> None:
    text = markdown()
    assert "Seconds until the next try; null when there is none, or when it waits for a network." in text
    assert "map of `streams`, `bytes_in`, `bytes_out`" in text
