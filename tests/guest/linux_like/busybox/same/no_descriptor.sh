(exec 7>&-; echo lost >&7) 2> /dev/null; echo $?
sh -c 'echo y' >&-; echo $?
