printf '#!/bin/sh -e\necho $0 $# $1; false; echo never\n' > s
chmod +x s
./s a b; echo $?
printf '#!/nowhere/at/all\n' > t
chmod +x t
./t 2> /dev/null; echo $?
