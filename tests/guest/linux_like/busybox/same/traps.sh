trap 'echo usr1' USR1
kill -USR1 $$
trap '' USR2
kill -USR2 $$
echo alive
trap 'echo leaving' EXIT
(trap 'echo inner' TERM; kill -TERM $(sh -c 'echo $PPID'); echo after)
trap 'echo int; exit 4' INT
kill -INT $$
echo never
