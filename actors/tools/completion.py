"""`bin/tunnel-completion`: completion of all our programs' flags, for bash, zsh and fish."""

import argparse
import sys
from collections.abc import Callable
from typing import Final

import shtab

from actors.tools.programs import PARSERS
from actors.tools.running import run

NAME: Final = "tunnel-completion"

SHELLS: Final = ("bash", "zsh", "fish")

_PATHS: Final = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
"""What a flag's value is completed by, after what it is called."""

_USE: Final = """\
bash: eval "$(tunnel-completion bash)" in ~/.bashrc
zsh:  eval "$(tunnel-completion zsh)" in ~/.zshrc, after compinit
fish: tunnel-completion fish | source, in ~/.config/fish/config.fish
"""


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = argparse.ArgumentParser(
        prog=NAME,
        description="Print the completion of the flags of all programs of tunnel-supervisor for a shell.",
        epilog=_USE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("shell", choices=SHELLS)
    return made


ALL_PARSERS: Final[tuple[Callable[[], argparse.ArgumentParser], ...]] = (*PARSERS, parser)
"""Of all programs, this one too."""


def _work() -> int:
    shell = parser().parse_args().shell
    for make in ALL_PARSERS:
        made = make()
        for action in made._actions:
            if (kind := _PATHS.get(str(action.metavar))) is not None:
                action.complete = kind  # type: ignore[attr-defined]
        print(shtab.complete(made, shell))
    return 0


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
