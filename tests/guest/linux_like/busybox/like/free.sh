free | sed '2,$d'
free | sed -n 's/:.*//p'
