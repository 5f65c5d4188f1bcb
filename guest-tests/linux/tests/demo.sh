# What Seedvisor is for, shown from inside a guest.
title() {
    echo
    echo "== $* =="
}

echo
echo "A stock Debian kernel ($(uname -r)) is running as a guest of Seedvisor."
wait_for /dev/hwrng

title "Seeded at time zero"
echo "The hypervisor put 32 fresh bytes into the boot parameters, so the kernel's random"
echo "generator was ready before any driver and before PID 1:"
dmesg | grep -e 'crng init done' -e 'Run /init'

if [ ! -e /sys/bus/virtio/devices/virtio0 ]; then
    title "No entropy device"
    echo "This guest's configuration says rng = none: there is nothing more to show."
    power_off
fi

title "An entropy device"
echo "Found through ACPI, driven by the kernel's own virtio_rng module:"
echo "  rng_current: $(cat /sys/class/misc/hw_random/rng_current)"
grep virtio /proc/interrupts

title "Bytes from RDSEED, 32 of them"
dd if=/dev/hwrng bs=32 count=1 2>/dev/null | hexdump -C | head -n 2

title "FIPS 140-2 tests (rngtest) on 250,000 bytes"
rngtest -c 100 </dev/hwrng 2>&1 | sed -n -e 's/^rngtest: \(FIPS 140-2 [sf].*\)/  \1/p'
echo "  (of good random blocks about one in 1,250 fails)"

title "Rate"
echo "64 bytes a request, one request at a time, as Linux asks:"
begin=$(cut -d ' ' -f 1 /proc/uptime | tr -d .)
dd if=/dev/hwrng bs=64 count=4096 of=/dev/null 2>/dev/null
end=$(cut -d ' ' -f 1 /proc/uptime | tr -d .)
# Centiseconds; 256 KiB were read.
[ "$end" -gt "$begin" ] && echo "  $((25600 / (end - begin))) KiB/s by the guest's clock"
rng-bench 1000 | sed -n \
	-e 's/^.*reads \([0-9]*\) .* median \([0-9]*\) .*/  \2 TSC ticks a request (median of \1)/p'

title "Done"
echo "Powering off; Seedvisor then shows what the guest has cost."
