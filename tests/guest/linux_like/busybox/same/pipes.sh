echo one | cat | tr o 0
seq 1 20000 | wc -c
seq 1 3000 | sort -rn | head -3
yes | head -n 20000 | wc -l
true | false; echo $?
! true; echo $?
