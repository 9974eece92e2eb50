setsid sh -c 'kill -TERM 0; echo never'; echo $?
setsid sh -c 'test $$ = $(cut -d" " -f5 /proc/$$/stat) && test $$ = $(cut -d" " -f6 /proc/$$/stat) && echo leads'
