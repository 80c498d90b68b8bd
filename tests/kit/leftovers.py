"""What only Python's collector would find: objects that hold each other although nobody needs them any more."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def none_of(*kinds: type) -> Iterator[None]:
    """No objects of these kinds are to be there at the end of the block that were made in it."""
    gc.collect()
    gc.disable()
    before = {id(each) for each in gc.get_objects() if isinstance(each, kinds)}
    try:
        yield
        left = [type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds) and id(each) not in before]
        assert not left, f"{len(left)} are left: {sorted(set(left))}"
    finally:
        gc.enable()
