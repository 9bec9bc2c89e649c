# fish loads this file by its name at the first Tab behind `kcoro`; the installed program has the rest.
kcoro completion fish | source
