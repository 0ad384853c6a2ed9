#!/bin/bash
# Record mixed.pcap: real Linux TCP and UDP between two network namespaces, as frames on a wire.
#
#   sudo scenarios/captures/record.sh [FILE]        (default: mixed.pcap beside this script)
#
# Needs root, iproute2, ethtool, tcpdump, ping and python3 (Debian: apt-get install iproute2 ethtool tcpdump iputils-ping).
# Two namespaces of this script's own joined by a veth pair, 10.99.0.0/24 and fd99::/64, no route to anywhere else.
# Segmentation, GRO and checksum offloads are off on both ends, so every frame is at most 1514 bytes and carries
# the checksums a wire would carry. The capture is taken at the server's interface: both directions, full frames,
# nanosecond stamps. What is sent is bounded in count by traffic.py and in time by `timeout`.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/mixed.pcap}
server=softnet-server-$$
client=softnet-client-$$
work=$(mktemp -d)
server_pid=
tcpdump_pid=

for tool in ip ethtool tcpdump ping python3 timeout; do
    command -v "$tool" >/dev/null || { echo "record.sh: $tool is missing" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "record.sh: needs root to make network namespaces" >&2; exit 2; }

cleanup() {
    for pid in $tcpdump_pid $server_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    ip netns del "$client" 2>/dev/null || true
    ip netns del "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

# waits until the line $2 shows up in the file $1, at most 10 s
await() {
    for _ in $(seq 100); do
        grep -q "$2" "$1" 2>/dev/null && return 0
        sleep 0.1
    done
    echo "record.sh: no '$2' within 10 s:" >&2
    cat "$1" >&2
    return 1
}

ip netns add "$server"
ip netns add "$client"
ip -n "$server" link add eth0 address 02:00:00:63:00:01 mtu 1500 type veth \
    peer name eth0 address 02:00:00:63:00:02 mtu 1500 netns "$client"

for ns in "$server" "$client"; do
    ip netns exec "$ns" ethtool -K eth0 rx off tx off sg off tso off gso off gro off >/dev/null
    ip -n "$ns" link set lo up
done
ip -n "$server" addr add 10.99.0.1/24 dev eth0
ip -n "$server" addr add fd99::1/64 dev eth0 nodad
for host in 11 12 13 14; do
    ip -n "$client" addr add 10.99.0.$host/24 dev eth0
done
for host in 11 12; do
    ip -n "$client" addr add fd99::$host/64 dev eth0 nodad
done
ip -n "$server" link set eth0 up
ip -n "$client" link set eth0 up
sleep 2 # carrier, link-local addresses and their duplicate detection

timeout 120 ip netns exec "$server" tcpdump -i eth0 -n -p -s 0 -B 8192 -U -Z root \
    --time-stamp-precision=nano -w "$work/capture.pcap" 2>"$work/tcpdump.log" &
tcpdump_pid=$!
await "$work/tcpdump.log" "listening on"

timeout 120 ip netns exec "$server" python3 "$here/traffic.py" server >"$work/server.log" 2>&1 &
server_pid=$!
await "$work/server.log" "ready"

ip netns exec "$client" ping -q -c 5 -i 0.05 -w 10 -I 10.99.0.11 10.99.0.1 >/dev/null
ip netns exec "$client" ping -q -c 5 -i 0.05 -w 10 -I fd99::11 fd99::1 >/dev/null
timeout 60 ip netns exec "$client" python3 "$here/traffic.py" client
sleep 1 # the last FINs and their acknowledgements, and tcpdump's buffer

kill -INT "$tcpdump_pid"
wait "$tcpdump_pid" || true
tcpdump_pid=
cat "$work/tcpdump.log"
grep -q "^0 packets dropped by kernel" "$work/tcpdump.log" || { echo "record.sh: tcpdump lost packets, not kept" >&2; exit 1; }

chmod 644 "$work/capture.pcap"
mv "$work/capture.pcap" "$out"
ls -l "$out"
