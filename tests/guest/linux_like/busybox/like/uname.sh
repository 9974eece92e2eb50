uname -s
uname -m
