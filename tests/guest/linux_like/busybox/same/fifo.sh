mkfifo p
stat -c '%F %a' p
(echo through > p) & cat p
wait
(sleep 0.03; cat p) & echo late > p
wait
test -p p; echo $?
rm p
ls
