printf 'a b\nc\n' | (read x y; read z; read w; echo $? $x $y $z)
(sleep 0.3; echo slow) | (read -t 0.05 v; echo "$? $v")
while read l; do echo "<$l>"; done <<X
1
2
X
