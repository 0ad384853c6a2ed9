#!/bin/sh
# collect.sh: copies a server's receive settings and counters into a directory, for `softnet run --tree DIR`.
#
#     sh collect.sh [--no-wait] DIR [INTERFACE...]
#
# It only reads; it wants no root, though root reads a little more. Copied are CPU and NUMA node lists, the interrupts'
# affinities, RPS and RFS settings, the sysctls of the receive path, what ethtool shows of channels, rings, coalescing, features and
# RSS, and the counters, these twice, 10 s apart (--no-wait: once). No MAC or IP address and no host name is copied.
# Without an INTERFACE every one that has a device behind it is taken. What could not be read is said on stderr and
# listed in DIR/MISSING.

set -u
LC_ALL=C
export LC_ALL
unset CDPATH

ROOT=${COLLECT_ROOT-} # for a /proc and /sys that stand elsewhere

SYSCTLS='core/busy_poll core/busy_read core/dev_weight core/dev_weight_rx_bias core/dev_weight_tx_bias
core/flow_limit_cpu_bitmap core/flow_limit_table_len core/gro_normal_batch core/netdev_budget core/netdev_budget_usecs
core/netdev_max_backlog core/netdev_tstamp_prequeue core/rmem_default core/rmem_max core/rps_default_mask
core/rps_sock_flow_entries core/skb_defer_max ipv4/tcp_rmem ipv4/ipfrag_low_thresh ipv4/ipfrag_high_thresh ipv4/ipfrag_time
ipv4/ipfrag_max_dist ipv6/ip6frag_low_thresh ipv6/ip6frag_high_thresh ipv6/ip6frag_time'
CPU_LISTS='possible present online isolated'
DEVICE_FILES='mtu speed gro_flush_timeout napi_defer_hard_irqs threaded'
COUNTERS='stat softirqs interrupts uptime net/softnet_stat net/dev net/snmp net/netstat'
ETHTOOL_LETTERS='l g c k x S i'
FLOW_TYPES='tcp4 udp4 tcp6 udp6'

say() {
    printf 'collect.sh: %s\n' "$1" >&2
}

fail() {
    say "$1"
    exit 2
}

missing() { # PATH: it could not be read
    printf '%s\n' "$1" >>"$out/MISSING"
    say "could not read $1"
}

copy_as() { # FILE PATH: FILE becomes PATH in the directory
    case $2 in
    */*) mkdir -p "$out/${2%/*}" || fail "cannot write into $out" ;;
    esac
    # To a file of its own first: what fails half way is no file.
    if { cat "$1" >"$out/.part"; } 2>/dev/null; then
        mv "$out/.part" "$out/$2" || fail "cannot write into $out"
    else
        rm -f "$out/.part"
        return 1
    fi
}

copy() { # PATH, without its first slash
    copy_as "$ROOT/$1" "$1" || missing "/$1"
}

copy_counters() { # PREFIX: '' or 'after/'
    for name in $COUNTERS; do
        copy_as "$ROOT/proc/$name" "$1proc/$name" || missing "/proc/$name"
    done
    for interface in $interfaces; do
        for path in "$ROOT/sys/class/net/$interface/statistics"/*; do
            name=sys/class/net/$interface/statistics/${path##*/}
            copy_as "$path" "$1$name" || missing "/$name"
        done
    done
}

run_ethtool() { # PATH OPTION INTERFACE [WORD...]: what it prints is added to PATH
    target=$1
    shift
    mkdir -p "$out/${target%/*}" || fail "cannot write into $out"
    ethtool "$@" >"$out/.part" 2>/dev/null </dev/null
    # Some parts of what it shows may not be supported: whatever it printed counts.
    if [ -s "$out/.part" ]; then
        cat "$out/.part" >>"$out/$target"
    else
        missing "ethtool $*"
    fi
    rm -f "$out/.part"
}

copy_interface() { # INTERFACE
    base=sys/class/net/$1
    for name in $DEVICE_FILES; do
        copy "$base/$name"
    done
    for queue in "$ROOT/$base/queues"/rx-*; do
        copy "$base/queues/${queue##*/}/rps_cpus"
        copy "$base/queues/${queue##*/}/rps_flow_cnt"
    done
    # A virtio device hangs below the PCI device that has the node and the interrupts.
    copy_as "$ROOT/$base/device/numa_node" "$base/device/numa_node" ||
        copy_as "$ROOT/$base/device/../numa_node" "$base/device/numa_node" || missing "/$base/device/numa_node"
    irqs=
    for path in "$ROOT/$base/device/msi_irqs"/* "$ROOT/$base/device/../msi_irqs"/*; do
        irq=${path##*/}
        case $irq in
        '' | *[!0-9]*) continue ;;
        esac
        [ -e "$out/$base/device/msi_irqs/$irq" ] && continue
        copy_as "$path" "$base/device/msi_irqs/$irq" && irqs="$irqs $irq"
    done
    if [ -z "$irqs" ]; then
        missing "/$base/device/msi_irqs"
        for path in "$ROOT/proc/irq"/*; do
            case ${path##*/} in
            '' | *[!0-9]*) ;;
            *) irqs="$irqs ${path##*/}" ;;
            esac
        done
    fi
    for irq in $irqs; do
        copy "proc/irq/$irq/smp_affinity_list"
        copy "proc/irq/$irq/effective_affinity_list"
    done
    if [ "$has_ethtool" ]; then
        for letter in $ETHTOOL_LETTERS; do
            run_ethtool "ethtool/$1.$letter" "-$letter" "$1"
        done
        for flow_type in $FLOW_TYPES; do # not the filters: they name addresses
            run_ethtool "ethtool/$1.n" -n "$1" rx-flow-hash "$flow_type"
        done
    fi
}

copy_hz() { # a kernel tells its HZ nowhere but in its configuration
    mkdir -p "$out/boot" || fail "cannot write into $out"
    release=$(uname -r)
    { grep '^CONFIG_HZ=' "$ROOT/boot/config-$release" || zcat "$ROOT/proc/config.gz" | grep '^CONFIG_HZ='; } \
        >"$out/boot/config" 2>/dev/null || {
        rm -f "$out/boot/config"
        missing "/boot/config-$release"
    }
}

wait_seconds=10
if [ "${1-}" = --no-wait ]; then
    wait_seconds=0
    shift
fi
case ${1-} in
'' | -*) fail 'usage: sh collect.sh [--no-wait] DIR [INTERFACE...]' ;;
esac
out=$1
shift
if [ -e "$out" ] && [ -n "$(ls -A "$out" 2>/dev/null || echo x)" ]; then
    fail "$out exists already: name a new directory"
fi
mkdir -p "$out" || fail "cannot make the directory $out"
: >"$out/MISSING" || fail "cannot write into $out"
trap 'rm -f "$out/.part"' EXIT
trap 'exit 130' HUP INT TERM

if [ $# -eq 0 ]; then
    for path in "$ROOT/sys/class/net"/*; do
        if [ -e "$path/device" ]; then
            set -- "$@" "${path##*/}"
        fi
    done
    [ $# -eq 0 ] && fail 'no interface has a device behind it: name one, sh collect.sh DIR INTERFACE'
fi
interfaces=
for interface in "$@"; do
    case $interface in
    '' | . | .. | *[!A-Za-z0-9_.:@-]*) fail "'$interface' is no name of an interface" ;;
    esac
    [ -d "$ROOT/sys/class/net/$interface" ] || fail "there is no interface $interface"
    interfaces="$interfaces $interface"
done

has_ethtool=
if command -v ethtool >/dev/null 2>&1; then
    has_ethtool=yes
else
    missing ethtool
fi

copy_counters ''
for name in $CPU_LISTS; do
    copy "sys/devices/system/cpu/$name"
done
for path in "$ROOT/sys/devices/system/node"/node[0-9]*; do
    copy "sys/devices/system/node/${path##*/}/cpulist"
done
for name in $SYSCTLS; do
    copy "proc/sys/net/$name"
done
copy proc/sys/kernel/osrelease
copy_hz
for interface in $interfaces; do
    copy_interface "$interface"
done

if [ "$wait_seconds" -gt 0 ]; then
    say "the counters once more in $wait_seconds s"
    sleep "$wait_seconds"
    copy_counters after/
    if [ "$has_ethtool" ]; then
        for interface in $interfaces; do
            run_ethtool "after/ethtool/$interface.S" -S "$interface"
        done
    fi
fi
say "done; next: softnet run --tree $out"
