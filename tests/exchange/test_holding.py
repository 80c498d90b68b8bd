"""Who holds a body for its gates."""

from actors.exchange.holding import MAX_HELD_BODIES, MAX_OF_ONE_VISITOR, Holding


class Held:
    """A request that holds one, and gives it back when it is told to make room, as exchanges do when they end."""

    def __init__(self, holding: Holding) -> None:
        self.holding = holding
        self.has_made_room = False

    def make_room(self) -> None:
        self.has_made_room = True
        self.holding.leave(self)


def taken(holding: Holding, visitor: bytes) -> Held:
    held = Held(holding)
    assert holding.take(held, visitor)
    return held


def test_visitor_with_all_its_places_gets_no_other_and_nobody_loses_one() -> None:
    holding = Holding()
    held = [taken(holding, b"one") for _ in range(MAX_OF_ONE_VISITOR)]
    assert not holding.take(Held(holding), b"one")
    assert not any(each.has_made_room for each in held)
    taken(holding, b"other")
    holding.leave(held[3])
    taken(holding, b"one")
    assert len(holding) == MAX_OF_ONE_VISITOR + 1


def test_the_longest_held_makes_room_one_for_each_that_comes() -> None:
    holding = Holding()
    held = [taken(holding, b"%d" % (number % 4)) for number in range(MAX_HELD_BODIES)]
    for number in range(3):
        taken(holding, b"sender")
        assert [each.has_made_room for each in held] == [index <= number for index in range(MAX_HELD_BODIES)]
        assert len(holding) == MAX_HELD_BODIES


def test_place_is_given_back_once() -> None:
    holding = Holding()
    held = taken(holding, b"one")
    holding.leave(held)
    holding.leave(held)
    assert len(holding) == 0
