"""Bytes that wait: in order, a little in memory, the rest in a file without a name."""

import random

from actors.quic_worker.engines.spool import IN_MEMORY, PIECE, Spool


def test_bytes_come_out_as_they_went_in() -> None:
    dice, spool = random.Random(1), Spool()
    put, got = bytearray(), bytearray()
    for _ in range(2000):
        if dice.random() < 0.55:
            data = dice.randbytes(dice.randrange(1, 3000))
            put += data
            spool.append(data)
        else:
            got += spool.take()
        assert spool.size == len(put) - len(got)
    while piece := spool.take():
        got += piece
    assert got == put
    assert (spool.size, spool.on_disk) == (0, 0)


def test_little_stays_in_memory_and_much_goes_to_disk() -> None:
    spool = Spool()
    for _ in range(10):
        spool.append(bytes(IN_MEMORY // 2))
    assert spool.on_disk == 4 * IN_MEMORY
    taken = [len(spool.take()) for _ in range(3)]
    assert taken == [IN_MEMORY // 2, IN_MEMORY // 2, PIECE]
    spool.close()
    assert spool.on_disk == 0
