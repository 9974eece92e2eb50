#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Records tests/captures/{dns/nsd,snmp/snmpd}.pcap anew: the real server and real clients on this host's loopback, what both said
# as dumpcap saw it. Needs root (ports 53 and 161, the capture) and Debian's nsd, bind9-dnsutils, dnsperf, snmpd, snmp, tshark.
#     tools/record_udp.sh dns | snmp
set -euo pipefail
kind=${1:-}
cd "$(dirname "$0")/../tests/captures/$kind"
work=$(mktemp -d)
running=()
finish() {
    ((${#running[@]} == 0)) || kill "${running[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

capture() {  # PORT FILE
    dumpcap -q -P -i lo -f "udp port $1" -w "$work/$2" 2>"$work/dumpcap.log" &
    running+=($!)
    until grep -q "^File:" "$work/dumpcap.log"; do sleep 0.1; done
}

case $kind in
dns)
    nsd -d -c nsd.conf &
    running+=($!)
    sleep 1
    capture 53 nsd.pcap
    dig @127.0.0.1 -f dig.txt +tries=1 +timeout=1 >"$work/dig.log"
    dnsperf -s 127.0.0.1 -d dnsperf.txt -n 1 -c 4 -q 8 -Q 2000 >"$work/dnsperf.log"
    file=nsd.pcap
    ;;
snmp)
    export SNMP_PERSISTENT_DIR=$work/persistent MIBS=
    /usr/sbin/snmpd -f -Lf /dev/null -C -c snmpd.conf -r &
    running+=($!)
    sleep 2
    capture 161 snmpd.pcap
    tree=.1.3.6.1.4.1.8072.9999.9999
    ask() { "$1" -On -r0 -t0.2 "${@:2}" >>"$work/snmp.log" 2>&1 || true; }
    ask snmpwalk -v2c -c public 127.0.0.1 .1.3.6
    ask snmpwalk -v1 -c public 127.0.0.1 $tree.2
    for repetitions in 1 10 25; do ask snmpbulkwalk -v2c -c public -Cr$repetitions 127.0.0.1 .1.3.6; done
    for row in $(seq 1 40); do
        ask snmpget -v2c -c public 127.0.0.1 $tree.1.$row $tree.2.$row $tree.3.$row $tree.4.$row
        ask snmpget -v1 -c public 127.0.0.1 $tree.1.$row $tree.5.$row
        ask snmpset -v2c -c private 127.0.0.1 $tree.1.$row i $((row * 1000)) $tree.2.$row s "set to $row"
        ask snmpgetnext -v2c -c public 127.0.0.1 $tree.1.$row $tree.2.$row .1.3.6.1.2.1.1.6 .1.3.6.1.6
    done
    ask snmpset -v2c -c public 127.0.0.1 $tree.1.1 i 1
    ask snmpset -v2c -c private 127.0.0.1 $tree.1.1 s text
    ask snmpget -v2c -c unknown 127.0.0.1 $tree.1.1
    ask snmpbulkget -v2c -c public -Cn1 -Cr20 127.0.0.1 .1.3.6.1.2.1.1.5 $tree.1 $tree.4
    ask snmpwalk -v2c -c public 127.0.0.1 $tree.1
    file=snmpd.pcap
    ;;
*)
    echo "usage: tools/record_udp.sh dns | snmp" >&2
    exit 2
    ;;
esac
sleep 1.5 # dumpcap writes what it holds back
kill -INT "${running[1]}"
wait "${running[1]}" || true
mv "$work/$file" "$file"
capinfos -c -s "$file"
