"""What the commands that look on show: `kcoro top`, `kcoro why`, and the tables of `kcoro stat`.

    lines    a snapshot in one line, aligned columns      waits    who waits for whom, who is stuck
    survey   asks the daemon for the picture of that      words    a picture in sentences

Only `survey` talks to the daemon; the rest are functions of what it was told.
"""
