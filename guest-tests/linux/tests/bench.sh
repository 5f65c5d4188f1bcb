# What `make bench` measures in a guest. seedvisor.test=bench=READS: single instructions, and that
# many reads of /dev/hwrng; bench=window,ALIGN,TICKS: reads at the same time as other guests.
wait_for /dev/hwrng
case $argument in
window,*)
    rng-bench $(echo "$argument" | tr ',' ' ')
    ;;
*)
    exit-bench
    # Of several CPUs the first is interrupted and the last one reads. The scheduler would have it
    # one way or another, and a change of a tick in the boot would change which.
    if [ "$(nproc)" -gt 1 ]; then
        irq=$(sed -n 's/^ *\([0-9]*\):.*virtio0$/\1/p' /proc/interrupts)
        echo 1 > "/proc/irq/$irq/smp_affinity"
        taskset "$(printf %x $((1 << ($(nproc) - 1))))" rng-bench "$argument"
    else
        rng-bench "$argument"
    fi
    ;;
esac
say "bench done"
