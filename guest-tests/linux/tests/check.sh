# The guest checks its machine: one line a check, "ok - ..." or "not ok - ...".
passed=0
failed=0

# check NAME COMMAND...: runs the command and tells; its output explains a failure.
check() {
    name=$1
    shift
    if output=$("$@" 2>&1); then
        echo "ok - $name"
        passed=$((passed + 1))
    else
        echo "not ok - $name"
        echo "$output" | sed 's/^/# /'
        failed=$((failed + 1))
    fi
}

rng_is_bound() {
    current=$(cat /sys/class/misc/hw_random/rng_current)
    echo "rng_current: $current; available: $(cat /sys/class/misc/hw_random/rng_available)"
    [ "$current" = virtio_rng.0 ]
}

device_is_from_acpi() {
    ls -l /sys/bus/virtio/devices /sys/bus/platform/devices
    [ -e /sys/bus/platform/devices/LNRO0005:00 ] &&
        [ "$(cat /sys/bus/virtio/devices/virtio0/device)" = 0x0004 ]
}

crng_ready_before_pid1() {
    dmesg | grep -n -e 'crng init done' -e 'Run /init' | tee /tmp/order
    head -n 1 /tmp/order | grep -q 'crng init done' && grep -q 'Run /init' /tmp/order
}

# The command line's seedvisor.date is the builder's clock, in seconds since 1970; emulated time
# is slower than real time, and an image may be a few minutes old.
date_is_right() {
    expected=$(parameter seedvisor.date)
    now=$(date +%s)
    echo "now $now, expected ${expected:-anything from 2026 to 2099}"
    if [ -n "$expected" ]; then
        [ $((now - expected)) -ge -900 ] && [ $((now - expected)) -le 900 ]
    else
        [ "$now" -ge 1767225600 ] && [ "$now" -lt 4102444800 ]
    fi
}

# Random bytes do not compress: gzip's output is a little longer than its input.
reads_a_mebibyte() {
    dd if=/dev/hwrng bs=64 count=16384 of=/tmp/bytes || return 1
    size=$(wc -c </tmp/bytes)
    packed=$(gzip -c /tmp/bytes | wc -c)
    echo "read $size bytes, compressed to $packed"
    [ "$size" -eq 1048576 ] && [ "$packed" -gt 1048576 ]
}

two_reads_differ() {
    first=$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | md5sum)
    second=$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | md5sum)
    echo "$first $second"
    [ "$first" != "$second" ]
}

interrupts_are_edge_triggered() {
    cat /proc/interrupts
    grep 'virtio' /proc/interrupts | grep -q -i 'edge' &&
        [ "$(awk '/virtio/ {print ($2 > 0)}' /proc/interrupts)" = 1 ]
}

hypervisor_flag_is_set() {
    grep -m 1 '^flags' /proc/cpuinfo
    grep -m 1 '^flags' /proc/cpuinfo | grep -q -w hypervisor
}

clock_is_steady() {
    cat /sys/devices/system/clocksource/clocksource0/current_clocksource
    dmesg | grep -i -e 'clocksource' -e 'tsc:'
    ! dmesg | grep -q -i -e 'marking.*unstable' -e 'Unable to calibrate'
}

kernel_is_content() {
    dmesg | grep -e 'WARNING:' -e 'BUG:' -e 'Oops' -e 'unchecked MSR' -e 'Firmware Bug' -e 'Call Trace'
    # grep found nothing: the kernel complained of nothing.
    [ $? -eq 1 ]
}

say "check: $(uname -r)"
. /tests/bytes.sh
check "the entropy device is bound (rng_current is virtio_rng.0)" rng_is_bound
check "the device was found through ACPI (LNRO0005)" device_is_from_acpi
check "the CRNG was ready before PID 1 ran" crng_ready_before_pid1
check "the date is right" date_is_right
check "/dev/hwrng delivers 1 MiB in 64-byte reads" reads_a_mebibyte
check "two reads differ" two_reads_differ
check "the device's interrupts are edge-triggered and arrive" interrupts_are_edge_triggered
check "the CPU has the hypervisor flag" hypervisor_flag_is_set
check "the clock is steady" clock_is_steady
check "the kernel has no complaints" kernel_is_content
say "check: $passed ok, $failed not ok"
