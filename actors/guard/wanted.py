"""What is asked for of a guard, as flags and files of rules say it: with secrets' files, not the secrets. Pure."""

from typing import Final

from actors.bus.tally import Message


class GuardWanted(Message, frozen=True):
    """Each by the name of its flag, without the hyphens. None: nothing was said; an empty one: none of it."""

    auth_file: str | None = None
    access_token_file: str | None = None
    verify_webhook: tuple[str, ...] | None = None
    allow_ip: tuple[str, ...] | None = None
    deny_ip: tuple[str, ...] | None = None
    allow_path: tuple[str, ...] | None = None
    deny_path: tuple[str, ...] | None = None
    rate_limit: str | None = None
    max_in_flight: str | None = None
    banner: bool | None = None

    def over(self, other: "GuardWanted") -> "GuardWanted":
        """This, and what it says nothing of as `other` has it."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return GuardWanted(*(theirs if ours is None else ours for ours, theirs in pairs))


NOTHING: Final = GuardWanted()
