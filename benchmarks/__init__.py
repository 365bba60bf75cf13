"""What a second factor costs, measured beside what others pay for theirs. ``python -m benchmarks --help``.

The rooms of it, from the ground up:

    kernel, wire, people      CPU and memory of processes; an HTTP client that costs little; users and their codes
    enrolment                 the users' rows in our tables
    serving, load             servers as processes; many callers at once
    apps/                     what is served: the plain login, ours around it, the hand-written floor, the peers
    contenders                who takes part, and what must be set up for them
    sections/                 each measures one thing and keeps its figures in ``results/``
    flows, counts             what clients do; what that costs on any machine
    report, plots             ``docs/benchmarks.md`` from what was kept

Every figure is a median over rounds in which all variants take their turn, with the least and the greatest.
"""
