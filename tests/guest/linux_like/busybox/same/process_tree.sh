sh -c 'test $(cut -d" " -f4 /proc/$$/stat) = $PPID && echo parent'
test $PPID -gt 0 && echo yes
sh -c 'exit 300'; echo $?
