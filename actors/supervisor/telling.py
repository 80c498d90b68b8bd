"""The events that tell of one connection, and of another tunnel. Pure."""

from actors.bus import events
from actors.bus.messages import EdgeAddress
from actors.supervisor.slots import Slot, SlotState, Worker
from actors.supervisor.vocabulary import Announce, Begin, WorkerRegistered, WorkerStopped


def connecting(slot: Slot, worker: Worker, edge: EdgeAddress) -> Announce:
    """A worker was started."""
    return Announce(
        events.Connecting(
            slot=slot.index,
            generation=worker.generation,
            edge=str(edge),
            protocol=worker.protocol,
            attempt=slot.failures,
        )
    )


def registered(slot: Slot, event: WorkerRegistered, url: str, tunnel_id: str, connections: int) -> Announce:
    """The edge took a connection."""
    return Announce(
        events.Registered(
            slot=slot.index,
            generation=event.generation,
            url=url,
            tunnel_id=tunnel_id,
            location=event.location,
            connection_id=event.connection_id,
            key_exchange=event.key_exchange,
            protocol=event.protocol,
            connections=connections,
        )
    )


def ended(slot: Slot, before: SlotState, word: WorkerStopped, retry_in: float | None, connections: int) -> Announce:
    """A worker ended, though nobody wanted it to. `before`: the state in which it did."""
    return Announce(
        events.ConnectionEnded(
            slot=slot.index,
            generation=word.generation,
            reason=word.end,
            message=word.message,
            was_registered=before is SlotState.REGISTERED,
            failures=slot.failures,
            retry_in=retry_in,
            connections=connections,
        )
    )


def refused(slot: Slot, word: WorkerStopped, connections: int) -> Announce:
    """The edge refused a connection for good."""
    return Announce(
        events.ConnectionRefused(
            slot=slot.index, generation=word.generation, cause=word.message, connections=connections
        )
    )


def url_changed(begun: Begin, previous_url: str, word: WorkerStopped | None) -> Announce:
    """Another tunnel takes the place of one that was lost. `word`: how its last connection ended."""
    return Announce(
        events.UrlChanged(
            url=begun.url,
            tunnel_id=begun.tunnel_id,
            previous_url=previous_url,
            cause=word.message if word is not None else "",
        )
    )
