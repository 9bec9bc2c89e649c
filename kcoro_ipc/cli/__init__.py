"""The command line: `kcoro COMMAND ...`.

    main         the group of commands, loaded one at a time; what an error becomes
    exits        exit codes and the text of an error
    invocation   what all commands share: which socket, --quiet, common options
    opening      a channel by name, made if it is missing
    framing      bytes of stdin and stdout <-> messages
    send         with intake (reading)
    recv         with output, saving (--output), worker and handing (--exec), plain
    make  listing  stat  ending  select  top         the other commands on channels
    serve  demo  bench  decode  completion           and those that are not about one channel

`kcoro send` and `kcoro recv` start in a few times the interpreter's own time: nothing on their way
imports trio, construct or rich (a test reads sys.modules).
"""
