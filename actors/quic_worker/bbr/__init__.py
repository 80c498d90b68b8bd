"""BBR, version 3: a congestion controller that models the path (draft-ietf-ccwg-bbr-06). Pure; times are passed in.

    rate_sample.py  delivery rate, per acknowledgement (section 4.1 of the draft)
    filters.py      windowed maxima
    parameters.py   the draft's constants, and where this differs from them
    path.py         what is known of the path and of its own probing, each idea with its state
    model.py        the state machine and what comes of it: a window, a pacing rate

It knows nothing of QUIC: packets are sizes and times. `aioquic_bbr.py` beside this folder plugs it into aioquic.
"""
