# Every CPU is kept busy by processes that fork, allocate and write, more of them than CPUs, while
# the entropy device is read; stress=SECONDS. The kernel must keep time and stay content.
busy() {
    while [ ! -e /tmp/enough ]; do
        dd if=/dev/zero bs=65536 count=16 2>/dev/null | md5sum >/tmp/sum.$1
    done
    echo done >/tmp/done.$1
}

workers=$(($(nproc) * 2))
wait_for /dev/hwrng
before=$(cut -d. -f1 /proc/uptime)
clock=$(date +%s)
for i in $(seq $workers); do
    busy $i &
done
reads=0
while [ $(($(cut -d. -f1 /proc/uptime) - before)) -lt ${argument:-5} ]; do
    dd if=/dev/hwrng bs=64 count=16 of=/tmp/bytes 2>/dev/null && reads=$((reads + 1))
done
touch /tmp/enough
wait
elapsed=$(($(date +%s) - clock))
uptime=$(($(cut -d. -f1 /proc/uptime) - before))
say "stress: $(ls /tmp/done.* | wc -l) of $workers workers done, $reads reads"
say "stress: clocks apart by $((elapsed - uptime)) s"
for cpu in $(seq 0 $(($(nproc) - 1))); do
    say "stress: cpu$cpu timer interrupts $(awk -v n=$((cpu + 2)) '/LOC:/ {print $n}' /proc/interrupts)"
done
dmesg | grep -e 'soft lockup' -e 'rcu.*stall' -e 'unstable' -e 'WARNING:' -e 'BUG:' &&
    say "stress: the kernel complains"
say "stress: end"
