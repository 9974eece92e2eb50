(yes; echo status $? > status) | head -1
cat status
seq 1 100000 2> /dev/null | head -2
trap '' PIPE
(echo x; sleep 0.05; echo y || echo refused >&2) 2>> log | true
sleep 0.1
grep -c . log
