"""What the commands that look on show: `kcoro top`, `kcoro why`, and the tables of `kcoro stat`.

    rounds   which channels there are, their counters     rows     sorted, filtered, as cells
    keys     what each key does to the state              sheets   what stands on the screen
    view     a sheet as lines of a given size, by rich    lines    aligned columns, short texts
    survey   who waits and who has handles                waits    who waits for whom, who is stuck
    words    that in sentences

Only `rounds` and `survey` talk to the daemon; the rest are functions of what it was told.
"""
