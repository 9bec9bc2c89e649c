"""The command line: `kcoro COMMAND ...`.

    main       the group of commands, loaded one at a time; what an error becomes
    exits      exit codes and their texts             session    what all commands share: socket, -q
    opening    a channel by name, made if missing     framing    bytes <-> messages on stdin, stdout
    intake, send    messages in                       output, worker, recv    messages out
    make  listing  stat  ending  select  top          the other commands on channels
    demo  bench  decode  completion                   and those that are not about one channel

`kcoro send` and `kcoro recv` start in a few times the interpreter's own time: nothing on their way
imports trio, construct or rich (a test reads sys.modules).
"""
