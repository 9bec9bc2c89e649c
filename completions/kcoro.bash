# bash-completion loads this file by its name at the first Tab behind `kcoro`; the installed program has the rest.
eval "$(kcoro completion bash)"
