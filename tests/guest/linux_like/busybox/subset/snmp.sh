cut -d' ' -f1 /proc/net/snmp
