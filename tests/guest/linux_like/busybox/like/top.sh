top -b -n1 | sed -n '4p' | cut -c1-30
