"""The benchmarks: floor, peers and ours measured in turn, in one run, on one machine.

`make bench` runs `python -m bench`. A claim is a ratio of two subjects of one case of one run;
absolute figures move from machine to machine and are never claimed. No test asserts a time; this
is no test.

    model      Case, Subject, Target, Sample: the words lab        what one case holds while it
    runs: servers, pinning, calibrated counts runner     interleaves the repetitions        report
    tables, JSON lines, targets met or missed processes  worker processes that start together and
    die with us servers    floor, redis, broker peers, our daemon: started, waited for, stopped
    tools      compilers and peers: built or installed, or skipped by name raw, resp  the same
    blocking socket client with prebuilt bytes, for our frames and for redis loads      the work
    itself, written once for every blocking client cases/     one file per family of cases
    peers/    brokers and clients of others native/    C and Go programs
"""
